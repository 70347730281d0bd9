//! In which order parts are taken back.

use steps::undo::Undo;

use super::state::Item;

/// `parts`, last intended first, but mode and owner of a file after all of its content: what was closed for a secret is not opened before the secret
/// is gone.
pub(super) fn contents_first(mut parts: Vec<(String, Item)>) -> Vec<(String, Item)> {
    for at in (0..parts.len()).rev() {
        let Undo::RestoreAttributes { path, .. } = &parts[at].1.undo else { continue };
        let last = parts.iter().rposition(|(_, item)| item.undo.content_of() == Some(path));
        if let Some(last) = last.filter(|last| *last > at) {
            parts[at..=last].rotate_left(1);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_after_its_content_is_gone() {
        let part = |undo: &str, path: &str| {
            let (item, path_of, wrote) = (undo.to_owned(), path.to_owned(), Vec::new());
            let undo = match undo {
                "file" => Undo::RemoveFile { path: path_of },
                "mode" => {
                    let (owner, group) = ("root".to_owned(), "root".to_owned());
                    Undo::RestoreAttributes { path: path_of, mode: 0o644, owner, group }
                }
                _ => Undo::RemoveFolder { path: path_of },
            };
            (path.to_owned(), Item { item, undo, data: false, wrote, order: 0, going: false, left: false })
        };
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("mode", "a"), ("file", "a")], "file a, mode a"),
            (&[("file", "a"), ("mode", "a")], "file a, mode a"),
            (
                &[("mode", "a"), ("folder", "b"), ("file", "a"), ("file", "c"), ("file", "a"), ("folder", "d")],
                "folder b, file a, file c, file a, mode a, folder d",
            ),
            (&[("mode", "a"), ("mode", "b"), ("file", "b"), ("file", "a")], "file b, mode b, file a, mode a"),
            (&[("mode", "a"), ("mode", "a"), ("file", "a")], "file a, mode a, mode a"),
            // A folder is nobody's content.
            (&[("mode", "a"), ("folder", "a"), ("file", "a/b")], "mode a, folder a, file a/b"),
        ];
        for (parts, expected) in cases {
            let sorted = contents_first(parts.iter().map(|(undo, path)| part(undo, path)).collect());
            let told: Vec<String> = sorted.iter().map(|(path, item)| format!("{} {path}", item.item)).collect();
            assert_eq!(told.join(", "), expected);
        }
    }
}

//! The language and character set that this host's programs and services are set to.

use std::io::Read;
use std::path::Path;

/// How much of the archive of locales is read: their names stand at its beginning.
const NAMES: u64 = 2 << 20;

/// The locale that services start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale {
    /// Its name, as it is set: `de_DE.UTF-8`.
    pub name: String,
    /// The file that sets it.
    pub file: String,
    /// Is it on this host?
    pub there: bool,
}

/// The locale that is set below `root`; none where none is, which is the same as `C`.
pub fn set(root: &Path) -> Option<Locale> {
    ["etc/default/locale", "etc/locale.conf"].iter().find_map(|file| {
        let text = std::fs::read_to_string(root.join(file)).ok()?;
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
            lines.map(|value| value.trim_matches(['"', '\'']).to_owned()).rfind(|value| !value.is_empty())
        };
        let name = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| value(name))?;
        Some(Locale { there: is_there(root, &name), file: format!("/{file}"), name })
    })
}

/// Is `name` one that programs find (locale(7))?
fn is_there(root: &Path, name: &str) -> bool {
    let normal = normalized(name);
    if matches!(normal.as_str(), "C" | "POSIX") {
        return true;
    }
    let folder = root.join("usr/lib/locale");
    let folders = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    if folders.filter_map(|entry| entry.file_name().into_string().ok()).any(|found| normalized(&found) == normal) {
        return true;
    }
    let mut archive = Vec::new();
    let read =
        std::fs::File::open(folder.join("locale-archive")).and_then(|file| file.take(NAMES).read_to_end(&mut archive));
    let wanted = [normal.as_bytes(), b"\0"].concat();
    read.is_ok() && archive.windows(wanted.len()).any(|part| part == wanted)
}

/// `de_DE.UTF-8` as glibc calls it: `de_DE.utf8`.
fn normalized(name: &str) -> String {
    let Some((language, rest)) = name.split_once('.') else { return name.to_owned() };
    let (charset, variant) = rest.split_once('@').map_or((rest, String::new()), |(set, of)| (set, format!("@{of}")));
    let charset: String = charset.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    format!("{language}.{charset}{variant}")
}

impl Locale {
    /// Is its character set UTF-8, or the plain `C`?
    pub fn is_utf8(&self) -> bool {
        matches!(self.name.as_str(), "C" | "POSIX") || normalized(&self.name).contains(".utf8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_and_whether_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        assert_eq!(set(root.path()), None);
        std::fs::create_dir_all(root.path().join("usr/lib/locale/C.utf8")).unwrap();
        put("usr/lib/locale/locale-archive", b"\x01\x02de_DE.utf8\0de_AT.iso88591\0");
        for (text, name, there, utf8) in [
            ("LANG=C.UTF-8\n", "C.UTF-8", true, true),
            ("#LANG=x\nLANG=\"de_DE.UTF-8\"\n", "de_DE.UTF-8", true, true),
            ("LANG=de_DE.UTF-8\nLC_ALL=fr_FR.UTF-8\n", "fr_FR.UTF-8", false, true),
            ("LANG=de_AT.ISO-8859-1\n", "de_AT.ISO-8859-1", true, false),
            ("LANG=de_DE\n", "de_DE", false, false),
            ("LANG=POSIX\n", "POSIX", true, true),
        ] {
            put("etc/default/locale", text.as_bytes());
            let found = set(root.path()).unwrap();
            assert_eq!((found.name.as_str(), found.there, found.is_utf8()), (name, there, utf8), "{text}");
            assert_eq!(found.file, "/etc/default/locale");
        }
        put("etc/default/locale", b"LANG=\n");
        assert_eq!(set(root.path()), None);
    }
}

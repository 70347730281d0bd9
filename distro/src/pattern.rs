//! Patterns of names.

/// Is `name` like `pattern`, in which `*` stands for anything and `?` for one letter?
pub(crate) fn is_like(name: &str, pattern: &str) -> bool {
    let (mut letters, mut wanted) = (name.chars(), pattern.chars());
    match wanted.next() {
        None => name.is_empty(),
        Some('*') => {
            let mut rests = name.char_indices().map(|(at, _)| &name[at..]).chain([""]);
            rests.any(|rest| is_like(rest, wanted.as_str()))
        }
        Some(one) => {
            letters.next().is_some_and(|letter| one == '?' || one == letter)
                && is_like(letters.as_str(), wanted.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_like_a_pattern() {
        for (name, pattern, wanted) in [
            ("vendor", "vendor", true),
            ("vendor", "vend", false),
            ("vendor", "*", true),
            ("", "*", true),
            ("vendor", "v*r", true),
            ("vendor", "v*x*", false),
            ("vendor", "?endor", true),
            ("vendor", "vendor?", false),
            ("v\u{e4}ndor", "v?nd*", true),
        ] {
            assert_eq!(is_like(name, pattern), wanted, "{name} {pattern}");
        }
    }
}

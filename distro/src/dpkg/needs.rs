//! Who needs whom among installed packages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Dpkg, Package};

impl Dpkg {
    /// Which of `set` cannot go because packages outside of it, or others of it that therefore stay, depend on them: each with
    /// one package that needs it. Versions in dependencies are not looked at: an installed system satisfies them.
    pub fn needed_by_others(&self, set: &BTreeSet<String>) -> BTreeMap<String, String> {
        let providers = self.providers();
        let mut stays = BTreeMap::new();
        loop {
            let before = stays.len();
            for (name, package) in self.installed() {
                if set.contains(name) && !stays.contains_key(name) {
                    continue;
                }
                for group in groups(&package.depends) {
                    let mut leaving = None;
                    let satisfied =
                        group.flat_map(|wanted| providers.get(wanted).into_iter().flatten()).any(|provider| {
                            let goes = set.contains(*provider) && !stays.contains_key(*provider);
                            leaving = leaving.or(goes.then_some(*provider));
                            !goes
                        });
                    if let Some(provider) = leaving.filter(|_| !satisfied) {
                        stays.insert(provider.to_owned(), name.to_owned());
                    }
                }
            }
            if stays.len() == before {
                return stays;
            }
        }
    }

    /// Installed packages in a fixed order.
    fn installed(&self) -> BTreeMap<&str, &Package> {
        let there = self.packages.iter().filter(|(_, package)| !package.is_only_configuration());
        there.map(|(name, package)| (name.as_str(), package)).collect()
    }

    /// Installed packages by every name that they answer to.
    fn providers(&self) -> HashMap<&str, Vec<&str>> {
        let mut providers: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, package) in self.installed() {
            let plain = name.split_once(':').map_or(name, |(plain, _)| plain);
            for answers_to in [plain].into_iter().chain(groups(&package.provides).flatten()) {
                providers.entry(answers_to).or_default().push(name);
            }
        }
        providers
    }
}

/// The names of a relation field: `a (>= 1) | b:any, c` is `[a, b]`, `[c]`.
fn groups(field: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    field.split(',').map(|group| {
        group.split('|').filter_map(|one| one.trim().split([' ', '(', ':', '[']).next()).filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::database;

    fn status(packages: &[(&str, &str, &str)]) -> String {
        let stanza = |(name, depends, provides): &(&str, &str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\
                 Depends: {depends}\nProvides: {provides}\n"
            )
        };
        packages.iter().map(stanza).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_others_need_stays() {
        let text = status(&[
            ("app", "nginx (>= 1) | httpd, lib:any", ""),
            ("nginx", "nginx-common (= 1), lib", "httpd (= 1)"),
            ("nginx-common", "", ""),
            ("lib", "", ""),
            ("apache", "", "httpd"),
            ("redis", "redis-tools", ""),
            ("redis-tools", "", ""),
        ]);
        let (_folder, dpkg) = database(&text, &[]);
        let cases: [(&[_], &[_]); 6] = [
            (&["redis", "redis-tools"], &[]),
            (&["redis-tools"], &[("redis-tools", "redis")]),
            // apache stays and is an httpd as well
            (&["nginx", "nginx-common"], &[]),
            (&["nginx", "nginx-common", "lib"], &[("lib", "app")]),
            // nginx stays for app, and what nginx needs with it
            (&["apache", "nginx", "nginx-common"], &[("nginx", "app"), ("nginx-common", "nginx")]),
            (&["app", "apache", "nginx", "nginx-common", "lib"], &[]),
        ];
        for (set, expected) in cases {
            let set = set.iter().map(ToString::to_string).collect();
            let stays = dpkg.needed_by_others(&set);
            let stays: Vec<_> = stays.iter().map(|(name, by)| (name.as_str(), by.as_str())).collect();
            assert_eq!(stays, expected, "{set:?}");
        }
    }
}

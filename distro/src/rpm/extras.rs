//! Repositories of packages that a distribution has besides, and that are off at first.

use crate::Facts;

/// The repository of `names` that a cloud of Red Hat's has besides, where the host has such ones (RHUI).
fn of_cloud(names: &[String], major: u32) -> Option<String> {
    let rhui: Vec<&String> = names.iter().filter(|name| name.contains("rhui")).collect();
    let is_meant =
        |name: &&&String| name.contains("codeready-builder") && !name.contains("debug") && !name.contains("source");
    let usual = format!("codeready-builder-for-rhel-{major}-rhui-rpms");
    (!rhui.is_empty()).then(|| rhui.iter().find(is_meant).map_or(usual, |name| (*name).clone()))
}

/// What there is to do where a package needs one that no repository has, those that are switched off included: these are all that there are, by
/// `names`.
pub(super) fn advice(facts: &Facts, names: &[String]) -> String {
    let major = facts.major.unwrap_or_default();
    let epel = || " or EPEL (package 'epel-release')".to_owned();
    let (own, others) = match (facts.os.as_str(), facts.base.as_str(), major) {
        ("rhel", _, 7) => ("subscription-manager repos --enable rhel-7-server-optional-rpms".to_owned(), epel()),
        ("rhel", ..) => match of_cloud(names, major) {
            Some(name) => (format!("dnf config-manager --set-enabled {name}"), epel()),
            None => {
                let name = format!("codeready-builder-for-rhel-{major}-{}-rpms", facts.arch);
                (format!("subscription-manager repos --enable {name}"), epel())
            }
        },
        ("ol", ..) => {
            let switch = if major == 7 { "yum-config-manager --enable" } else { "dnf config-manager --set-enabled" };
            let name = if major == 7 { "optional_latest" } else { "codeready_builder" };
            (format!("{switch} ol{major}_{name}"), format!(" or EPEL (package 'oracle-epel-release-el{major}')"))
        }
        (_, "amzn", 2) => ("amazon-linux-extras".to_owned(), String::new()),
        // Its own are all on.
        (_, "rhel", 7) => return "switch on the repository that has it, maybe EPEL (package 'epel-release'); then go on with --resume".to_owned(),
        (_, "rhel", 8) => ("dnf config-manager --set-enabled powertools".to_owned(), epel()),
        (_, "rhel", _) => ("dnf config-manager --set-enabled crb".to_owned(), epel()),
        // There is neither.
        _ => return "switch on the repository that has it, then go on with --resume".to_owned(),
    };
    format!(
        "switch on the repository that has it: that of the distribution (`{own}`){others}; then go on with --resume"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_has_its_own_name_for_it() {
        for (os_release, wanted) in [
            ("ID=rhel\nVERSION_ID=7.9\n", "rhel-7-server-optional-rpms`) or EPEL (package 'epel-release')"),
            ("ID=rhel\nVERSION_ID=9.4\n", "`subscription-manager repos --enable codeready-builder-for-rhel-9-"),
            ("ID=rocky\nID_LIKE=\"rhel\"\nVERSION_ID=8.9\n", "`dnf config-manager --set-enabled powertools`"),
            ("ID=almalinux\nID_LIKE=\"rhel\"\nVERSION_ID=10.0\n", "`dnf config-manager --set-enabled crb`"),
            ("ID=centos\nVERSION_ID=7\n", "maybe EPEL (package 'epel-release')"),
            ("ID=centos\nVERSION_ID=9\n", "--set-enabled crb`) or EPEL (package 'epel-release')"),
            ("ID=ol\nVERSION_ID=7.9\n", "ol7_optional_latest`) or EPEL (package 'oracle-epel-release-el7')"),
            ("ID=ol\nVERSION_ID=9.3\n", "ol9_codeready_builder`) or EPEL (package 'oracle-epel-release-el9')"),
            ("ID=amzn\nVERSION_ID=2\n", "(`amazon-linux-extras`); then"),
            ("ID=amzn\nVERSION_ID=2023\n", "switch on the repository that has it, then"),
            ("ID=fedora\nVERSION_ID=43\n", "switch on the repository that has it, then"),
        ] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("etc")).unwrap();
            std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
            let advice = advice(&Facts::gather(root.path()).unwrap(), &[]);
            assert!(advice.contains(wanted), "{os_release}: {advice}");
        }
    }

    #[test]
    fn a_cloud_of_red_hats_has_its_own_names() {
        for (names, wanted) in [
            (&["epel"][..], None),
            (&["rhel-9-baseos-rhui-rpms"], Some("codeready-builder-for-rhel-9-rhui-rpms")),
            (
                &[
                    "rhui-rhel-9-for-x86_64-baseos-rhui-rpms",
                    "rhui-codeready-builder-for-rhel-9-x86_64-rhui-debug-rpms",
                    "rhui-codeready-builder-for-rhel-9-x86_64-rhui-rpms",
                ],
                Some("rhui-codeready-builder-for-rhel-9-x86_64-rhui-rpms"),
            ),
        ] {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(of_cloud(&names, 9).as_deref(), wanted, "{names:?}");
        }
    }
}

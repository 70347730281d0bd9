//! Repositories of packages that a distribution has besides, and that are off at first.

use crate::Facts;

/// What there is to do where a package needs one that no repository has.
pub(super) fn advice(facts: &Facts) -> String {
    let major = facts.major.unwrap_or_default();
    let (own, epel) = match facts.os.as_str() {
        "rhel" => (
            format!("subscription-manager repos --enable codeready-builder-for-rhel-{major}-{}-rpms", facts.arch),
            "epel-release".to_owned(),
        ),
        "ol" => (
            format!("dnf config-manager --set-enabled ol{major}_codeready_builder"),
            format!("oracle-epel-release-el{major}"),
        ),
        _ if facts.base == "rhel" => {
            let name = if major == 8 { "powertools" } else { "crb" };
            (format!("dnf config-manager --set-enabled {name}"), "epel-release".to_owned())
        }
        // There is neither.
        _ => return "switch on the repository that has it, then go on with --resume".to_owned(),
    };
    format!(
        "switch on the repository that has it: that of the distribution (`{own}`) or EPEL (package '{epel}'); then go on with --resume"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_has_its_own_name_for_it() {
        for (os_release, wanted) in [
            ("ID=rhel\nVERSION_ID=9.4\n", "`subscription-manager repos --enable codeready-builder-for-rhel-9-"),
            ("ID=rocky\nID_LIKE=\"rhel\"\nVERSION_ID=8.9\n", "`dnf config-manager --set-enabled powertools`"),
            ("ID=almalinux\nID_LIKE=\"rhel\"\nVERSION_ID=10.0\n", "`dnf config-manager --set-enabled crb`"),
            ("ID=centos\nVERSION_ID=9\n", "--set-enabled crb`) or EPEL (package 'epel-release')"),
            ("ID=ol\nVERSION_ID=9.3\n", "ol9_codeready_builder`) or EPEL (package 'oracle-epel-release-el9')"),
            ("ID=amzn\nVERSION_ID=2023\n", "switch on the repository that has it, then"),
            ("ID=fedora\nVERSION_ID=43\n", "switch on the repository that has it, then"),
        ] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("etc")).unwrap();
            std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
            let advice = advice(&Facts::gather(root.path()).unwrap());
            assert!(advice.contains(wanted), "{os_release}: {advice}");
        }
    }
}

//! Repositories of packages that a distribution has besides, and that are off at first.

use crate::Facts;

/// What there is to do where a package needs one that no repository has.
pub(super) fn advice(facts: &Facts) -> String {
    let (own, epel) = match (facts.os.as_str(), facts.base.as_str()) {
        ("rhel", _) => ("subscription-manager repos --enable rhel-7-server-optional-rpms", Some("epel-release")),
        ("ol", _) => ("yum-config-manager --enable ol7_optional_latest", Some("oracle-epel-release-el7")),
        (_, "amzn") => ("amazon-linux-extras", None),
        // Its own are all on.
        _ => return "switch on the repository that has it, maybe EPEL (package 'epel-release'); then go on with --resume".into(),
    };
    let epel = epel.map(|package| format!(" or EPEL (package '{package}')")).unwrap_or_default();
    format!("switch on the repository that has it: that of the distribution (`{own}`){epel}; then go on with --resume")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_has_its_own_name_for_it() {
        for (os_release, wanted) in [
            ("ID=rhel\nVERSION_ID=7.9\n", "rhel-7-server-optional-rpms`) or EPEL (package 'epel-release')"),
            ("ID=ol\nVERSION_ID=7.9\n", "ol7_optional_latest`) or EPEL (package 'oracle-epel-release-el7')"),
            ("ID=centos\nVERSION_ID=7\n", "maybe EPEL (package 'epel-release')"),
            ("ID=amzn\nVERSION_ID=2\n", "(`amazon-linux-extras`); then"),
        ] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("etc")).unwrap();
            std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
            let advice = advice(&Facts::gather(root.path()).unwrap());
            assert!(advice.contains(wanted), "{os_release}: {advice}");
        }
    }
}

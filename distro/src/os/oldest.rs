//! The oldest programs that everything here is known to work with.

use crate::Facts;
use crate::packages::Manager;

use super::is_for_old_products;

/// Those of the oldest supported distributions, and the kernel that their C libraries and systemd can do with.
const OLDEST: [(&str, [u32; 2]); 4] = [("kernel", [4, 15]), ("systemd", [239, 0]), ("apt", [2, 0]), ("dnf", [4, 7])];
/// The same of systems that are supported for old products.
const FOR_OLD_PRODUCTS: [(&str, [u32; 2]); 3] = [("kernel", [4, 4]), ("systemd", [229, 0]), ("apt", [1, 2])];
/// The same where yum is the package manager.
const WITH_YUM: [(&str, [u32; 2]); 3] = [("kernel", [3, 10]), ("systemd", [219, 0]), ("yum", [3, 4])];

/// Names of programs, each with the first two numbers of its oldest version.
pub fn oldest(facts: &Facts) -> &'static [(&'static str, [u32; 2])] {
    if Manager::of(facts) == Some(Manager::Yum) {
        &WITH_YUM
    } else if is_for_old_products(facts) {
        &FOR_OLD_PRODUCTS
    } else {
        &OLDEST
    }
}

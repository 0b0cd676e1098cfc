//! The house rules that are cheap to check, so that an ordinary test run holds them too.

use xtask::check;

#[test]
fn pure_crates_stay_free_of_io_and_crates_depend_in_one_direction() {
    check::layering::check().expect("layering");
}

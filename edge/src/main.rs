//! The `meridian-edge` command.

use meridian_edge::start;

fn main() {
    let cli = meridian_process::arguments();
    meridian_process::log_to_stderr();
    meridian_process::end("meridian-edge", start::run(cli));
}

//! The `meridian-control-plane` command.

use meridian_control_plane::start;

fn main() {
    let cli = meridian_process::arguments();
    meridian_process::log_to_stderr();
    meridian_process::end("meridian-control-plane", start::run(cli));
}

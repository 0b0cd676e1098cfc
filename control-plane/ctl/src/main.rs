//! `meridianctl`: the command line, the runtime, and the exit code.

fn main() {
    let cli = meridian_process::arguments();
    // A second installation finds the first, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system has descriptors for a runtime");
    meridian_process::end("meridianctl", runtime.block_on(meridianctl::run(cli)));
}

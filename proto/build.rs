//! Generates the contracts' code from `meridian/**/*.proto`, and the descriptor of the control plane's, without protoc.

use prost::Message;
use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 5] = ["snapshot", "edge", "join", "meeting", "ops"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = FILES.map(|name| format!("meridian/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=meridian");
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("meridian.v1.binpb"), descriptors.encode_to_vec())?;
    let agents = protox::compile(["meridian/loadtest/v1/agents.proto"], ["."])?;
    for contract in [descriptors, agents] {
        tonic_prost_build::configure()
            .bytes(".")
            .emit_rerun_if_changed(false)
            .compile_fds(contract)?;
    }
    Ok(())
}

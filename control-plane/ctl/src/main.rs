//! `meridianctl`: the command line, the runtime, and the exit code.

fn main() {}

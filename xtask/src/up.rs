//! `cargo xtask up`: a talk across offices joined by emulated wide-area links.
//!
//! The plan, a module each: certificates and the talk are made (`certs`, `talk`); `process` starts
//! edges, links and clients and reads the JSON lines they print; `link` places an emulated path,
//! with the delays `offices` reads, between two edges; `table` prints lag, loss and CPU hop by hop
//! beside the speed-of-light floor; `verify` judges what was received.

pub mod interrupt;
pub mod link;
pub mod office;
pub mod offices;
pub mod process;
pub mod table;
pub mod verify;

use anyhow::{Result, bail};

use crate::{
    certs::Authority,
    setup::{self, Need},
    talk::{self, TalkSpec},
    workspace,
};

/// How to run the talk.
#[derive(clap::Args)]
pub struct Args {
    /// Only make the certificates and the talk.
    #[arg(long)]
    prepare: bool,
}

/// Makes what a talk needs and says where it is.
///
/// # Errors
/// If a program is missing or fails; without `--prepare` always, since no edge exists to start.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Media, Need::Certificates])?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    for office in ["geneva", "bangkok", "addis-ababa"] {
        let identity = authority.identity(office, &[&format!("DNS:{office}")])?;
        println!("{}", identity.certificate.display());
    }
    let talk = talk::ensure(&workspace::made("talk")?, &TalkSpec::default())?;
    println!("{}", talk.video.display());
    if !args.prepare {
        bail!("no edges to start yet; --prepare stops here");
    }
    Ok(())
}

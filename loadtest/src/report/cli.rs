//! `meridian-loadtest compare A.json B.json`.

use super::comparison::compare;
use super::files::{ReadError, read};
use std::path::PathBuf;

/// Two records.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// The record from before: `outcome.json`, or the folder of a report.
    pub a: PathBuf,
    /// The record from after.
    pub b: PathBuf,
}

/// What has changed between two records, for people to read.
///
/// # Errors
/// If one of them cannot be read.
pub fn compare_files(args: &CompareArgs) -> Result<String, ReadError> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let heads = format!("A  {}\nB  {}\n\n", args.a.display(), args.b.display());
    Ok(heads + &compare(&a, &b))
}

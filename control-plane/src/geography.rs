//! Where an address is, by a MaxMind DB file if there is one.

use maxminddb::Reader;
use meridian_control_core::places::Point;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What knows where addresses are.
#[derive(Default)]
pub struct Geography(Option<Reader<Vec<u8>>>);

/// A file that is no MaxMind DB.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct GeographyError {
    path: PathBuf,
    source: maxminddb::MaxMindDbError,
}

impl Geography {
    /// From a file (City). Without one nothing is known.
    ///
    /// # Errors
    /// It is no such file.
    pub fn load(path: Option<&Path>) -> Result<Geography, GeographyError> {
        let Some(path) = path else {
            return Ok(Geography::default());
        };
        let reader = Reader::open_readfile(path).map_err(|source| GeographyError {
            path: path.to_owned(),
            source,
        })?;
        Ok(Geography(Some(reader)))
    }

    /// Where an address is.
    pub fn point(&self, address: IpAddr) -> Option<Point> {
        let found = self.0.as_ref()?.lookup(address).ok()?;
        let city: maxminddb::geoip2::City<'_> = found.decode().ok()??;
        Point::new(city.location.latitude?, city.location.longitude?).ok()
    }
}

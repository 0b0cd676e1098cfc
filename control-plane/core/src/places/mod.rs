//! Where things are on the globe, and how long packets need between two places.

mod countries;
mod distance;

pub use countries::{Countries, Country, CountryCode, CountryError, Region};
pub use distance::{Point, PointError, fibre_floor_us, planning_rtt_us};

/// Where an edge stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// On the globe.
    pub point: Point,
    /// The country whose law holds there.
    pub country: CountryCode,
    /// The region its office serves.
    pub region: Region,
}

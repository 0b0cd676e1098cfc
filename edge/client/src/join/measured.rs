//! How far edges are, as the sessions there were have measured: what the control plane places somebody by.

use meridian_proto::v1::Rtt;
use std::collections::BTreeMap;
use std::time::Duration;

/// Round-trip times by office.
#[derive(Debug, Default)]
pub(super) struct Measured(BTreeMap<String, Duration>);

/// Offices kept: as many as the control plane takes of one client.
const KEPT: usize = 64;

impl Measured {
    /// The nearest an edge has been counts: more is waiting in queues. Zero is no measurement.
    pub(super) fn note(&mut self, office: &str, rtt: Duration) {
        if rtt.is_zero() {
            return;
        }
        if let Some(least) = self.0.get_mut(office) {
            *least = rtt.min(*least);
        } else if self.0.len() < KEPT {
            self.0.insert(office.to_owned(), rtt);
        }
    }

    /// As the control plane takes it.
    pub(super) fn told(&self) -> Vec<Rtt> {
        let rtt = |(office, rtt): (&String, &Duration)| Rtt {
            office: office.clone(),
            rtt_us: u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1),
        };
        self.0.iter().map(rtt).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_to_each_office_is_told() {
        let mut measured = Measured::default();
        for ms in [170, 158, 300] {
            measured.note("geneva", Duration::from_millis(ms));
        }
        measured.note("bangkok", Duration::from_micros(900));
        measured.note("cairo", Duration::ZERO);
        let told = measured.told();
        let told: Vec<_> = told
            .iter()
            .map(|rtt| (rtt.office.as_str(), rtt.rtt_us))
            .collect();
        assert_eq!(told, [("bangkok", 900), ("geneva", 158_000)]);
    }
}

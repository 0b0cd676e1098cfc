//! Datagrams that the kernel threw away because a socket's buffer was full: the one queue in front
//! of the emulator that it does not own.

use std::{collections::BTreeSet, fs, net::SocketAddr};

/// How many datagrams sockets bound to these addresses have lost so far; 0 where the system does
/// not say.
pub(crate) fn overflow(sockets: impl IntoIterator<Item = SocketAddr>) -> u64 {
    let ports = sockets.into_iter().map(|address| address.port()).collect();
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .map(|t| sum(&t, &ports))
        .sum()
}

fn sum(table: &str, ports: &BTreeSet<u16>) -> u64 {
    table
        .lines()
        .skip(1)
        .filter_map(parse_row)
        .filter(|(port, _)| ports.contains(port))
        .map(|(_, drops)| drops)
        .sum()
}

/// A row's local port, from `address:port` in hexadecimal, and its last column.
fn parse_row(row: &str) -> Option<(u16, u64)> {
    let mut fields = row.split_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    Some((
        u16::from_str_radix(port, 16).ok()?,
        fields.last()?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_added_up_over_the_ports_asked_for() {
        let table = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:115B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 5
  101: 0100007F:115C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 7
  102: 0100007F:1FFF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 9
";
        assert_eq!(sum(table, &BTreeSet::from([4443, 4444])), 12);
        assert_eq!(sum("", &BTreeSet::from([4443])), 0);
    }
}

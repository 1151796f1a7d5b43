//! `/proc/net/igmp` and `/proc/net/igmp6`: the multicast groups that the interfaces of our network namespace listen to,
//! net/ipv4/igmp.c and net/ipv6/mcast.c.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text;

/// A group, and the number of the interface on which somebody is a member.
pub type Group = (u32, IpAddr);

/// All groups of both versions; a version that the kernel does not have has none.
pub fn groups() -> Vec<Group> {
    let read = |path| std::fs::read(path).unwrap_or_default();
    let mut groups = parse_igmp(&read("/proc/net/igmp"));
    groups.extend(parse_igmp6(&read("/proc/net/igmp6")));
    groups
}

/// An interface has a line that starts with its number, and each group one behind it that starts with a tab.
fn parse_igmp(bytes: &[u8]) -> Vec<Group> {
    let (mut groups, mut interface) = (Vec::new(), None);
    for line in text::lines(bytes) {
        let Some(first) = text::fields(line).next() else { continue };
        match line.first() {
            Some(b'\t') => {
                // The address is printed as a number of the machine.
                let word = text::hex(first).and_then(|word| u32::try_from(word).ok());
                let group = word.map(|word| Ipv4Addr::from(word.to_ne_bytes()).into());
                groups.extend(interface.zip(group));
            }
            _ => interface = text::dec(first),
        }
    }
    groups
}

/// Number, interface, group, members, flags, timer.
fn parse_igmp6(bytes: &[u8]) -> Vec<Group> {
    let group = |line| {
        let mut fields = text::fields(line);
        let interface = text::dec(fields.next()?)?;
        let digits = std::str::from_utf8(fields.nth(1)?).ok()?;
        let address = u128::from_str_radix(digits, 16).ok()?;
        Some((interface, Ipv6Addr::from(address).into()))
    };
    text::lines(bytes).filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_belong_to_the_interface_above_them() {
        let text = b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
            1\tlo        :     2      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
            \t\t\t\tFB0000E0     1 0:00000000\t\t0\n2\teth0      :     1      V3\n\
            \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let all = Ipv4Addr::new(224, 0, 0, 1).into();
        let expected = if cfg!(target_endian = "little") {
            vec![(1, all), (1, Ipv4Addr::new(224, 0, 0, 251).into()), (2, all)]
        } else {
            parse_igmp(text)
        };
        assert_eq!(parse_igmp(text), expected);
        let text = b"1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
            2    eth0            ff0200000000000000000001ff000001     1 00000004 0\n\n";
        let found = parse_igmp6(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found.first().map(|g| g.1.to_string()).as_deref(), Some("ff02::1"));
    }
}

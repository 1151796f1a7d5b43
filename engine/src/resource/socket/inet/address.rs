//! Addresses of ip(7) and ipv6(7): as system calls have them, and as the image has them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::error::{Error, Result};
use crate::image::Kind;

/// `struct sockaddr_in` or `struct sockaddr_in6`; `None` for another family or too few bytes.
pub(super) fn parse(raw: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*raw.first_chunk()?);
    let port = u16::from_be_bytes(*raw.get(2..)?.first_chunk()?);
    match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = *raw.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(octets.into(), port).into())
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(*raw.get(4..)?.first_chunk()?);
            let octets: [u8; 16] = *raw.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*raw.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(octets.into(), port, flow, scope).into())
        }
        _ => None,
    }
}

/// The reverse of [`parse`].
pub(super) fn raw(address: &SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            [&family[..], &port, &v4.ip().octets(), &[0; 8]].concat()
        }
        SocketAddr::V6(v6) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            let (flow, scope) = (v6.flowinfo().to_be_bytes(), v6.scope_id().to_ne_bytes());
            [&family[..], &port, &flow, &v6.ip().octets(), &scope].concat()
        }
    }
}

/// The words of the image: one or four, each in network order in memory.
pub(super) fn words(ip: IpAddr) -> Vec<u32> {
    let octets = octets(ip);
    octets.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect()
}

/// Four or sixteen bytes in network order.
pub(in crate::resource::socket) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The reverse of [`octets`].
pub(super) fn from_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(v4.into()));
    }
    <[u8; 16]>::try_from(octets).ok().map(|v6| IpAddr::V6(v6.into()))
}

/// An address of the image. `scope` is the number of the interface of a link-local one.
pub(super) fn of_image(family: u32, words: &[u32], port: u32, scope: u32) -> Result<SocketAddr> {
    let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let bad =
        || Error::image(Kind::Files.file_name(), format!("address {words:x?} port {port} is malformed"));
    let port = u16::try_from(port).map_err(|_| bad())?;
    let any: IpAddr = match family as i32 {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ip = if words.is_empty() { any } else { from_octets(&octets).ok_or_else(bad)? };
    match (family as i32, ip) {
        (libc::AF_INET, IpAddr::V4(v4)) => Ok(SocketAddrV4::new(v4, port).into()),
        (libc::AF_INET6, IpAddr::V6(v6)) => {
            let scope = if is_scoped(ip) { scope } else { 0 };
            Ok(SocketAddrV6::new(v6, port, 0, scope).into())
        }
        _ => Err(bad()),
    }
}

/// Whether an address means nothing without its interface.
pub(super) fn is_scoped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.octets().starts_with(&[0xff, 2]))
}

/// The number of an interface by its name, if_nametoindex(3).
pub(in crate::resource::socket) fn interface(name: &[u8]) -> io::Result<u32> {
    let name = String::from_utf8_lossy(name);
    Ok(nix::net::if_::if_nametoindex(name.as_ref())?)
}

/// Its name by its number.
pub(in crate::resource::socket) fn interface_name(index: u32) -> Option<Vec<u8>> {
    let path = |name: &std::ffi::OsStr| std::path::Path::new("/sys/class/net").join(name).join("ifindex");
    let names = std::fs::read_dir("/sys/class/net").ok()?.flatten().map(|entry| entry.file_name());
    let found = names.filter(|name| {
        let text = std::fs::read_to_string(path(name)).unwrap_or_default();
        text.trim().parse() == Ok(index)
    });
    found.map(std::ffi::OsString::into_encoded_bytes).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_pass_through_calls_and_images() -> Result<()> {
        for text in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[fe80::1%7]:22", "[::ffff:10.0.0.1]:5"] {
            let address: SocketAddr = text.parse().map_err(|_| Error::bug(text))?;
            assert_eq!(parse(&raw(&address)), Some(address));
            let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            let back = of_image(family as u32, &words(address.ip()), address.port().into(), 7)?;
            assert_eq!(back, address);
        }
        assert!(of_image(libc::AF_INET as u32, &[1, 2], 0, 0).is_err());
        assert!(of_image(libc::AF_INET6 as u32, &[1], 0, 0).is_err());
        assert!(of_image(libc::AF_INET as u32, &[1], 70000, 0).is_err());
        assert_eq!(parse(&[2, 0, 1]), None);
        Ok(())
    }
}

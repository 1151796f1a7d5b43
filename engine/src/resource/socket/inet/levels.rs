//! Options that ip(7), ipv6(7), tcp(7), udp(7), udplite(7), raw(7) and icmp(7) add to those of socket(7).
//!
//! Each is a level, a name and the size of its largest value, as `options` takes them; numbers are those of
//! include/uapi/linux/{in,in6,tcp,udp}.h, the same on every machine. An option that says something of one moment
//! (IP_MTU, TCP_INFO) is not here, nor one that can only be set.
//!
//! Not kept: IP_MULTICAST_IF that was given as a number alone, which the kernel does not show; IPV6_JOIN_ANYCAST;
//! TCP_MD5SIG; policies of IPsec.

type Level = (i32, i32, usize);

const IP: i32 = libc::SOL_IP;
const IPV6: i32 = libc::SOL_IPV6;
const TCP: i32 = libc::SOL_TCP;
const UDP: i32 = libc::SOL_UDP;
const UDPLITE: i32 = libc::IPPROTO_UDPLITE;
const RAW: i32 = 255;
const ICMPV6: i32 = 58;

/// Of every socket: those of the second version go by these, too, when they talk to the first.
const OF_IP: [Level; 27] = [
    (IP, 1, 4),  // IP_TOS
    (IP, 2, 4),  // IP_TTL
    (IP, 3, 4),  // IP_HDRINCL
    (IP, 4, 40), // IP_OPTIONS
    (IP, 6, 4),  // IP_RECVOPTS
    (IP, 7, 4),  // IP_RETOPTS
    (IP, 8, 4),  // IP_PKTINFO
    (IP, 10, 4), // IP_MTU_DISCOVER
    (IP, 11, 4), // IP_RECVERR
    (IP, 12, 4), // IP_RECVTTL
    (IP, 13, 4), // IP_RECVTOS
    (IP, 15, 4), // IP_FREEBIND
    (IP, 18, 4), // IP_PASSSEC
    (IP, 19, 4), // IP_TRANSPARENT
    (IP, 20, 4), // IP_RECVORIGDSTADDR
    (IP, 21, 4), // IP_MINTTL
    (IP, 22, 4), // IP_NODEFRAG
    (IP, 23, 4), // IP_CHECKSUM
    (IP, 24, 4), // IP_BIND_ADDRESS_NO_PORT
    (IP, 25, 4), // IP_RECVFRAGSIZE
    (IP, 26, 4), // IP_RECVERR_RFC4884
    (IP, 32, 4), // IP_MULTICAST_IF
    (IP, 33, 4), // IP_MULTICAST_TTL
    (IP, 34, 4), // IP_MULTICAST_LOOP
    (IP, 49, 4), // IP_MULTICAST_ALL
    (IP, 50, 4), // IP_UNICAST_IF
    (IP, 51, 4), // IP_LOCAL_PORT_RANGE
];

const OF_IPV6: [Level; 38] = [
    (IPV6, 2, 4),    // IPV6_2292PKTINFO
    (IPV6, 3, 4),    // IPV6_2292HOPOPTS
    (IPV6, 4, 4),    // IPV6_2292DSTOPTS
    (IPV6, 5, 4),    // IPV6_2292RTHDR
    (IPV6, 7, 4),    // IPV6_CHECKSUM
    (IPV6, 8, 4),    // IPV6_2292HOPLIMIT
    (IPV6, 16, 4),   // IPV6_UNICAST_HOPS
    (IPV6, 17, 4),   // IPV6_MULTICAST_IF
    (IPV6, 18, 4),   // IPV6_MULTICAST_HOPS
    (IPV6, 19, 4),   // IPV6_MULTICAST_LOOP
    (IPV6, 23, 4),   // IPV6_MTU_DISCOVER
    (IPV6, 25, 4),   // IPV6_RECVERR
    (IPV6, 29, 4),   // IPV6_MULTICAST_ALL
    (IPV6, 30, 4),   // IPV6_ROUTER_ALERT_ISOLATE
    (IPV6, 31, 4),   // IPV6_RECVERR_RFC4884
    (IPV6, 33, 4),   // IPV6_FLOWINFO_SEND
    (IPV6, 36, 4),   // IPV6_HDRINCL
    (IPV6, 49, 4),   // IPV6_RECVPKTINFO
    (IPV6, 51, 4),   // IPV6_RECVHOPLIMIT
    (IPV6, 53, 4),   // IPV6_RECVHOPOPTS
    (IPV6, 54, 512), // IPV6_HOPOPTS
    (IPV6, 55, 512), // IPV6_RTHDRDSTOPTS
    (IPV6, 56, 4),   // IPV6_RECVRTHDR
    (IPV6, 57, 512), // IPV6_RTHDR
    (IPV6, 58, 4),   // IPV6_RECVDSTOPTS
    (IPV6, 59, 512), // IPV6_DSTOPTS
    (IPV6, 60, 4),   // IPV6_RECVPATHMTU
    (IPV6, 62, 4),   // IPV6_DONTFRAG
    (IPV6, 66, 4),   // IPV6_RECVTCLASS
    (IPV6, 67, 4),   // IPV6_TCLASS
    (IPV6, 70, 4),   // IPV6_AUTOFLOWLABEL
    (IPV6, 72, 4),   // IPV6_ADDR_PREFERENCES
    (IPV6, 73, 4),   // IPV6_MINHOPCOUNT
    (IPV6, 74, 4),   // IPV6_RECVORIGDSTADDR
    (IPV6, 75, 4),   // IPV6_TRANSPARENT
    (IPV6, 76, 4),   // IPV6_UNICAST_IF
    (IPV6, 77, 4),   // IPV6_RECVFRAGSIZE
    (IPV6, 78, 4),   // IPV6_FREEBIND
];

const OF_TCP: [Level; 19] = [
    (TCP, 1, 4),   // TCP_NODELAY
    (TCP, 3, 4),   // TCP_CORK
    (TCP, 4, 4),   // TCP_KEEPIDLE
    (TCP, 5, 4),   // TCP_KEEPINTVL
    (TCP, 6, 4),   // TCP_KEEPCNT
    (TCP, 7, 4),   // TCP_SYNCNT
    (TCP, 8, 4),   // TCP_LINGER2
    (TCP, 9, 4),   // TCP_DEFER_ACCEPT
    (TCP, 12, 4),  // TCP_QUICKACK
    (TCP, 13, 16), // TCP_CONGESTION
    (TCP, 16, 4),  // TCP_THIN_LINEAR_TIMEOUTS
    (TCP, 17, 4),  // TCP_THIN_DUPACK
    (TCP, 18, 4),  // TCP_USER_TIMEOUT
    (TCP, 25, 4),  // TCP_NOTSENT_LOWAT
    (TCP, 27, 4),  // TCP_SAVE_SYN
    (TCP, 33, 32), // TCP_FASTOPEN_KEY
    (TCP, 34, 4),  // TCP_FASTOPEN_NO_COOKIE
    (TCP, 36, 4),  // TCP_INQ
    (TCP, 37, 4),  // TCP_TX_DELAY
];

/// These belong to a connection once there is one, and show what is left of it when it is gone.
const OF_UNCONNECTED_TCP: [Level; 4] = [
    (TCP, 2, 4),  // TCP_MAXSEG
    (TCP, 10, 4), // TCP_WINDOW_CLAMP
    (TCP, 23, 4), // TCP_FASTOPEN
    (TCP, 30, 4), // TCP_FASTOPEN_CONNECT
];

const OF_UDP: [Level; 6] = [
    (UDP, 1, 4),   // UDP_CORK
    (UDP, 100, 4), // UDP_ENCAP
    (UDP, 101, 4), // UDP_NO_CHECK6_TX
    (UDP, 102, 4), // UDP_NO_CHECK6_RX
    (UDP, 103, 4), // UDP_SEGMENT
    (UDP, 104, 4), // UDP_GRO
];

const OF_UDPLITE: [Level; 2] = [
    (UDPLITE, 10, 4), // UDPLITE_SEND_CSCOV
    (UDPLITE, 11, 4), // UDPLITE_RECV_CSCOV
];

const OF_RAW: [Level; 2] = [
    (RAW, 1, 4),     // ICMP_FILTER
    (ICMPV6, 1, 32), // ICMPV6_FILTER
];

/// A connection keeps other things in their places, and nobody can set them there.
const OF_MULTICAST: [(i32, i32); 8] =
    [(IP, 32), (IP, 33), (IP, 34), (IP, 49), (IPV6, 17), (IPV6, 18), (IPV6, 19), (IPV6, 29)];

/// Options that bind(2) or listen(2) look at, and that therefore come before.
const EARLY: [(i32, i32); 7] = [
    (IP, 15),   // IP_FREEBIND
    (IP, 19),   // IP_TRANSPARENT
    (IP, 24),   // IP_BIND_ADDRESS_NO_PORT
    (IP, 51),   // IP_LOCAL_PORT_RANGE
    (IPV6, 75), // IPV6_TRANSPARENT
    (IPV6, 78), // IPV6_FREEBIND
    (TCP, 2),   // TCP_MAXSEG
];

/// The options of a socket by its family, type and protocol; `connected` is of a TCP socket only.
pub(super) fn of(family: i32, kind: i32, protocol: i32, connected: bool) -> Vec<Level> {
    let mut levels = OF_IP.to_vec();
    if family == libc::AF_INET6 {
        levels.extend(OF_IPV6);
    }
    match (kind, protocol) {
        (libc::SOCK_STREAM, _) => {
            levels.retain(|(level, name, _)| !OF_MULTICAST.contains(&(*level, *name)));
            levels.extend(OF_TCP);
            levels.extend(OF_UNCONNECTED_TCP.into_iter().filter(|_| !connected));
        }
        (_, UDPLITE) => levels.extend(OF_UDP.into_iter().chain(OF_UDPLITE)),
        (_, libc::IPPROTO_UDP) => levels.extend(OF_UDP),
        (libc::SOCK_RAW, _) => levels.extend(OF_RAW),
        _ => {}
    }
    levels
}

/// Whether an option has to be there before the socket has its name.
pub(super) fn is_early(level: i32, name: i32) -> bool {
    EARLY.contains(&(level, name))
}

//! The network lock: no packet of a connection passes while it is in an image only, so that neither end is told that the
//! other is gone.
//!
//! It is a table of nftables (netlink, NETLINK_NETFILTER) with one rule for each connection and direction, and a first one
//! that lets packets with CRIU's mark through. Its name is CRIU's, and the image says which run has made it: either
//! engine's restore removes it. While the dump runs, the table belongs to our socket (NFT_TABLE_F_OWNER, Linux 5.12), so
//! that it goes with us if we are killed; when the tree is about to end it is made anew, and stays. A comment, as nft(8)
//! shows it, says what it is for.
//!
//! CRIU locks by rules of iptables(8) if it is not told otherwise; those of its images are removed by that program.
//!
//! include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use super::inet::octets;
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::netlink::{Netlink, Request, attribute, attributes, nested};

/// CRIU's number of its own method, in the inventory.
pub const LOCKED_BY_IPTABLES: u32 = 1;
/// CRIU's number of ours.
pub const LOCKED_BY_NFTABLES: u32 = 2;
/// SO_MARK of what has to pass all the same.
pub(super) const MARK: u32 = 0xc114;

const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFPROTO_INET: u8 = 1;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const TABLE_OWNER: u32 = 2;
const PREFIX: &str = "CRIU-";
const COMMENT: u8 = 0;
/// What nft(8) shows: NFTNL_UDATA_COMMENT_MAXLEN of libnftnl.
const LONGEST_COMMENT: usize = 127;
/// Verdicts of include/uapi/linux/netfilter.h.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// Name, hook (NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT) and priority: where addresses are those that the socket has, after the
/// translation of what comes in (NF_IP_PRI_NAT_SRC) and before that of what goes out (NF_IP_PRI_NAT_DST).
const CHAINS: [(&str, u32, i32); 2] = [("input", 1, 101), ("output", 3, -150)];
const REGISTER: u32 = 1;
const META_MARK: u32 = 3;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// A connection: our end and the other.
pub type Connection = (SocketAddr, SocketAddr);

/// Connections whose packets are dropped.
#[derive(Debug)]
pub struct NetworkLock {
    netlink: Netlink,
    name: String,
    about: String,
    connections: Vec<Connection>,
    /// The table goes with our socket.
    owned: bool,
}

impl NetworkLock {
    /// Locks connections for as long as this lives, or until we are killed. `run` makes the name unique, `about` is the
    /// comment.
    ///
    /// # Errors
    /// `E-NETWORK-LOCK`: without nftables, or without CAP_NET_ADMIN.
    pub fn take(run: &str, about: &str, connections: Vec<Connection>) -> Result<Self> {
        Self::try_take(run, about, connections).map_err(|error| refused("make", &error))
    }

    /// The same, with the kernel's own error.
    fn try_take(run: &str, about: &str, connections: Vec<Connection>) -> Result<Self> {
        let netlink = Netlink::open(libc::NETLINK_NETFILTER)?;
        let about = about.to_owned();
        let mut lock = NetworkLock { netlink, name: name(run), about, connections, owned: true };
        let mut made = lock.make(TABLE_OWNER);
        if matches!(made.as_ref().map_err(Error::errno), Err(Some(libc::EINVAL | libc::EOPNOTSUPP))) {
            lock.owned = false;
            made = lock.make(0);
        }
        if let Err(error) = made {
            lock.name.clear();
            return Err(error);
        }
        Ok(lock)
    }

    fn make(&self, flags: u32) -> Result<()> {
        transact(&self.netlink, &self.table(flags))
    }

    /// Everything that makes the table.
    fn table(&self, flags: u32) -> Vec<Request> {
        let new = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let named = || text(1, &self.name);
        let mut requests =
            vec![request(NEW_TABLE, new, &[named(), number(2, flags), attribute(6, &comment(&self.about))])];
        for (chain, hook, priority) in CHAINS {
            let hook = nested(4, &[number(1, hook), number(2, priority as u32)]);
            requests.push(request(NEW_CHAIN, new, &[named(), text(3, chain), hook, text(7, "filter")]));
            let append = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
            let mut rule = |expressions: Vec<Vec<u8>>| {
                requests.push(request(NEW_RULE, append, &[named(), text(2, chain), nested(4, &expressions)]));
            };
            rule([meta(META_MARK, &MARK.to_ne_bytes()), vec![verdict(ACCEPT)]].concat());
            for (ours, other) in &self.connections {
                let (from, to) = if chain == "output" { (ours, other) } else { (other, ours) };
                rule(dropped(from, to));
            }
        }
        requests
    }

    /// Leaves the connections locked when we are gone: until somebody calls [`unlock`].
    pub fn leave(mut self) -> Result<()> {
        if self.owned {
            let mut requests = vec![request(DEL_TABLE, 0, &[text(1, &self.name)])];
            requests.extend(self.table(0));
            // One transaction: no packet passes in between.
            transact(&self.netlink, &requests).map_err(|e| refused("keep", &e))?;
        }
        self.name.clear();
        Ok(())
    }
}

impl Drop for NetworkLock {
    fn drop(&mut self) {
        if !self.name.is_empty()
            && let Err(error) = transact(&self.netlink, &[request(DEL_TABLE, 0, &[text(1, &self.name)])])
        {
            crate::log_warn!("the network lock {} is still there: {error}", self.name);
        }
    }
}

/// Whether there can be a lock: makes one of a connection that there cannot be.
pub fn probe() -> Result<()> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let run = format!("probe-{}", std::process::id());
    NetworkLock::try_take(&run, "crio check", vec![(nobody, nobody)]).map(drop)
}

/// A lock that is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The run that it is called after.
    pub run: String,
    /// It goes with the process that has made it.
    pub owned: bool,
    /// What it says of itself; CRIU's say nothing.
    pub about: Option<String>,
}

/// The locks of this network namespace; none where there is no nftables.
pub fn list() -> Result<Vec<Found>> {
    let netlink = match Netlink::open(libc::NETLINK_NETFILTER) {
        Err(error) if error.errno() == Some(libc::EPROTONOSUPPORT) => return Ok(Vec::new()),
        netlink => netlink?,
    };
    let all = request(GET_TABLE, 0, &[]);
    let mut found = Vec::new();
    let listed = netlink.dump(all.kind, &all.body, |table| found.extend(found_lock(table)));
    match listed {
        // No table was ever made: the module is not there.
        Err(error) if matches!(error.errno(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => Ok(Vec::new()),
        listed => listed.map(|()| found),
    }
}

fn found_lock(table: &[u8]) -> Option<Found> {
    let all = attributes(table.get(4..)?);
    let find = |kind| all.clone().find(|(k, _)| *k == kind).map(|(_, content)| content);
    let run = string(find(1)?).strip_prefix(PREFIX)?.to_owned();
    let flags = find(2).and_then(|flags| flags.first_chunk()).map_or(0, |flags| u32::from_be_bytes(*flags));
    let about = find(6).and_then(|data| data.strip_prefix(&[COMMENT])).and_then(|data| data.get(1..));
    Some(Found { run, owned: flags & TABLE_OWNER != 0, about: about.map(string) })
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

/// A comment as libnftnl writes it: type, length, text (NFTNL_UDATA_TABLE_COMMENT). Before Linux 5.10 it is not kept.
fn comment(about: &str) -> Vec<u8> {
    let end = (0..=LONGEST_COMMENT.min(about.len())).rev().find(|end| about.is_char_boundary(*end));
    let about = about.get(..end.unwrap_or(0)).unwrap_or_default();
    [&[COMMENT, about.len() as u8 + 1], about.as_bytes(), &[0]].concat()
}

/// Removes the lock of a run; none is fine.
pub fn unlock(run: &str) -> Result<()> {
    let netlink = Netlink::open(libc::NETLINK_NETFILTER)?;
    match transact(&netlink, &[request(DEL_TABLE, 0, &[text(1, &name(run))])]) {
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(()),
        done => done.map_err(|e| refused("remove", &e)),
    }
}

/// Removes CRIU's rules of iptables(8) for connections: as many as can be, also if one cannot.
pub fn unlock_iptables(connections: impl Iterator<Item = Connection>) -> Result<()> {
    let both = |(ours, other)| [("INPUT", other, ours), ("OUTPUT", ours, other)];
    let removed = connections.flat_map(both).map(|(chain, from, to)| remove_rule(chain, &from, &to));
    removed.fold(Ok(()), Result::and)
}

fn remove_rule(chain: &str, from: &SocketAddr, to: &SocketAddr) -> Result<()> {
    let program = if from.ip().to_canonical().is_ipv4() { "iptables" } else { "ip6tables" };
    let rule = rule(chain, from, to);
    let done = Command::new(program).args(&rule).stdin(Stdio::null()).output();
    let done = done.os(|| format!("run {program}")).map_err(|e| refused("remove", &e))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let reason = format!("{program} has not removed a rule of the network lock: {said}");
    Err(Error::new("E-NETWORK-LOCK", Blame::Environment, reason)
        .help(format!("remove it: {program} {}", rule.join(" "))))
}

/// What iptables(8) is to do.
fn rule(chain: &str, from: &SocketAddr, to: &SocketAddr) -> Vec<String> {
    let mark = format!("{MARK:#x}");
    let [source, destination] = [from, to].map(|end| end.ip().to_canonical().to_string());
    let [sport, dport] = [from, to].map(|end| end.port().to_string());
    let what = ["-w", "-t", "filter", "-D", chain, "--protocol", "tcp", "-m", "mark", "!", "--mark", &mark];
    let ends = ["--source", &source, "--sport", &sport, "--destination", &destination, "--dport", &dport];
    what.iter().chain(&ends).chain(&["-j", "DROP"]).map(|word| (*word).to_owned()).collect()
}

/// What a run's lock is called: its table.
pub fn name(run: &str) -> String {
    format!("{PREFIX}{run}")
}

fn refused(verb: &str, error: &Error) -> Error {
    let reason = format!("cannot {verb} the network lock: {error}");
    Error::new("E-NETWORK-LOCK", Blame::Kernel, reason)
        .help("the kernel needs CONFIG_NF_TABLES_INET, and crio CAP_NET_ADMIN; or add --network-lock skip")
}

fn transact(netlink: &Netlink, requests: &[Request]) -> Result<()> {
    let frame = |kind| Request {
        kind,
        flags: 0,
        body: [&[libc::AF_UNSPEC as u8, 0][..], &NFNL_SUBSYS_NFTABLES.to_be_bytes()].concat(),
    };
    netlink.transact(requests, [&frame(NFNL_MSG_BATCH_BEGIN), &frame(NFNL_MSG_BATCH_END)])
}

fn request(kind: u16, flags: i32, attributes: &[Vec<u8>]) -> Request {
    // struct nfgenmsg: family, version, resource.
    let body = [&[NFPROTO_INET, 0, 0, 0][..], &attributes.concat()].concat();
    Request { kind: NFNL_SUBSYS_NFTABLES << 8 | kind, flags, body }
}

fn dropped(from: &SocketAddr, to: &SocketAddr) -> Vec<Vec<u8>> {
    let (source, destination) = (from.ip().to_canonical(), to.ip().to_canonical());
    let (family, at, len) = match source {
        IpAddr::V4(_) => (libc::AF_INET as u8, 12, 4),
        IpAddr::V6(_) => (libc::AF_INET6 as u8, 8, 16),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    [
        meta(META_NFPROTO, &[family]),
        meta(META_L4PROTO, &[libc::IPPROTO_TCP as u8]),
        payload(NETWORK_HEADER, at, &octets(source)),
        payload(NETWORK_HEADER, at + len, &octets(destination)),
        payload(TRANSPORT_HEADER, 0, &ports),
        vec![verdict(DROP)],
    ]
    .concat()
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, data)])
}

/// Loads something of the packet's surroundings and compares it.
fn meta(key: u32, value: &[u8]) -> Vec<Vec<u8>> {
    vec![expression("meta", &[number(1, REGISTER), number(2, key)]), compare(value)]
}

/// Loads bytes of the packet and compares them.
fn payload(base: u32, offset: u32, value: &[u8]) -> Vec<Vec<u8>> {
    let data = [number(1, REGISTER), number(2, base), number(3, offset), number(4, value.len() as u32)];
    vec![expression("payload", &data), compare(value)]
}

fn compare(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, 0), nested(3, &[attribute(1, value)])])
}

fn verdict(code: u32) -> Vec<u8> {
    expression("immediate", &[number(1, 0), nested(2, &[nested(2, &[number(1, code)])])])
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    fn pair(address: &str) -> Result<[TcpStream; 2]> {
        let listener = TcpListener::bind(address).os(|| "bind")?;
        let client = TcpStream::connect(listener.local_addr().os(|| "name")?).os(|| "connect")?;
        let (server, _) = listener.accept().os(|| "accept")?;
        server.set_read_timeout(Some(Duration::from_millis(100))).os(|| "timeout")?;
        Ok([client, server])
    }

    fn connection(stream: &TcpStream) -> Result<Connection> {
        Ok((stream.local_addr().os(|| "name")?, stream.peer_addr().os(|| "peer")?))
    }

    #[test]
    fn there_may_be_many_connections() -> Result<()> {
        let other: SocketAddr = SocketAddr::from(([192, 0, 2, 1], 9));
        let many = (1..600).map(|port| (SocketAddr::from(([192, 0, 2, 2], port)), other)).collect();
        let run = format!("many-{}", std::process::id());
        NetworkLock::take(&run, "a test", many)?.leave()?;
        unlock(&run)
    }

    #[test]
    fn packets_of_the_connection_wait_and_others_pass() -> Result<()> {
        let run = format!("test-{}", std::process::id());
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let ([mut client, mut server], [mut free, mut other]) = (pair(address)?, pair(address)?);
            let lock = match NetworkLock::take(&run, "a test", vec![connection(&client)?]) {
                // A kernel without nftables has no lock to test.
                Err(e) if e.to_string().contains("os error 93") => return Ok(()),
                lock => lock?,
            };
            let mut buffer = [0; 5];
            client.write_all(b"hello").os(|| "write")?;
            free.write_all(b"hello").os(|| "write")?;
            other.read_exact(&mut buffer).os(|| "the free connection")?;
            let locked = server.read(&mut buffer).map_err(|e| e.kind());
            assert_eq!(locked, Err(ErrorKind::WouldBlock));
            let listed = |owned| Found { run: run.clone(), owned, about: Some("a test".to_owned()) };
            assert!(list()?.contains(&listed(true)), "{:?}", list()?);
            lock.leave()?;
            assert!(list()?.contains(&listed(false)), "{:?}", list()?);
            assert_eq!(server.read(&mut buffer).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
            unlock(&run)?;
            unlock(&run)?;
            assert!(!list()?.iter().any(|found| found.run == run));
            server.set_read_timeout(Some(Duration::from_secs(10))).os(|| "timeout")?;
            server.read_exact(&mut buffer).os(|| "after the lock")?;
        }
        Ok(())
    }

    #[test]
    fn rules_of_criu_are_removed_as_they_were_made() {
        let [from, to] =
            ["127.0.0.1:80", "[::ffff:10.0.0.1]:4000"].map(|end| end.parse().unwrap_or(([0; 4], 0).into()));
        let expected = "-w -t filter -D INPUT --protocol tcp -m mark ! --mark 0xc114 --source 127.0.0.1 --sport 80 \
                        --destination 10.0.0.1 --dport 4000 -j DROP";
        assert_eq!(rule("INPUT", &from, &to).join(" "), expected);
    }
}

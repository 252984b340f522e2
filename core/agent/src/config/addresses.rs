//! The addresses of `[agent]`: whether each is one, and whether peers can be told it. Nothing is dialled
//! or looked up here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{AgentConfig, RangeError};

impl RangeError {
    fn address(key: &str, value: &str) -> Self {
        let fault = "is no address";
        let expected = "write host:port, such as \"10.0.0.2:9100\"";
        Self { key: key.to_owned(), value: format!("{value:?}"), fault, expected }
    }

    fn listen(value: SocketAddr, fault: &'static str) -> Self {
        let expected = "set agent.listen to an address of this host that its peers reach, such as \
                        \"10.0.0.2:0\", or agent.advertise to the host:port where they reach it";
        Self { key: "agent.listen".to_owned(), value: value.to_string(), fault, expected }
    }
}

impl AgentConfig {
    /// Addresses that are none, and a listening address that peers can't be told.
    pub(super) fn wrong_addresses(&self) -> Vec<RangeError> {
        let nameserver = host_of(&self.nameserver);
        let advertised = self.advertise.as_deref();
        let mut faults = Vec::new();
        if nameserver.is_none() {
            faults.push(RangeError::address("agent.nameserver", &self.nameserver));
        }
        faults.extend(
            advertised
                .filter(|address| host_of(address).is_none())
                .map(|address| RangeError::address("agent.advertise", address)),
        );
        if advertised.is_some() {
            return faults;
        }
        let listen = self.listen.ip();
        let elsewhere = nameserver.is_some_and(|host| !is_this_host(host));
        if listen.is_unspecified() {
            let fault = "says all addresses of this host, and tells peers none";
            faults.push(RangeError::listen(self.listen, fault));
        } else if listen.is_loopback() && elsewhere {
            let fault = "is reached from this host only, and agent.nameserver is on another one";
            faults.push(RangeError::listen(self.listen, fault));
        }
        faults
    }
}

/// The host of a `host:port` that can be dialled; `None` if it is none.
fn host_of(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let dialled = port.parse::<u16>().is_ok_and(|port| port > 0);
    let bare = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok()),
        None => Some(host).filter(|host| !host.contains([':', '/']) && !host.contains(' ')),
    };
    bare.filter(|host| dialled && !host.is_empty())
}

/// Whether a host's name or address says by itself that it is this one.
fn is_this_host(host: &str) -> bool {
    let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(local)
}

/// A listening address, with a word on its form if it has another one.
pub(super) fn ip_and_port<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom("no listening address; write ip:port, such as 127.0.0.1:0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_by_their_form() {
        let good = ["localhost:1", "10.0.0.1:9100", "[::1]:65535", "ns.example:9100"];
        let bad = [
            "",
            "nohost",
            "zzz:",
            ":9100",
            "a:0",
            "a:65536",
            "::1:1",
            "[::1]",
            "[a]:1",
            "http://a:1",
        ];
        for address in good {
            assert!(host_of(address).is_some(), "{address}");
        }
        for address in bad {
            let config = AgentConfig {
                nameserver: address.to_owned(),
                advertise: Some(address.to_owned()),
                ..AgentConfig::default()
            };
            let keys: Vec<String> = config.faults().into_iter().map(|fault| fault.key).collect();
            assert_eq!(keys, ["agent.nameserver", "agent.advertise"], "{address}");
        }
        let config = AgentConfig { nameserver: "nohost".into(), ..AgentConfig::default() };
        let error = config.validate().unwrap_err().to_string();
        let expected = "agent.nameserver = \"nohost\" is no address: write host:port, such as ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn an_address_that_peers_can_not_reach_is_refused() {
        // (nameserver, listen, advertise, what is wrong)
        let cases = [
            ("127.0.0.1:9100", "127.0.0.1:0", None, None),
            ("localhost:9100", "[::1]:0", None, None),
            ("[::1]:9100", "127.0.0.1:0", None, None),
            ("10.0.0.1:9100", "10.0.0.2:0", None, None),
            ("10.0.0.1:9100", "127.0.0.1:7000", Some("gate:7000"), None),
            ("10.0.0.1:9100", "0.0.0.0:7000", Some("10.0.0.2:7000"), None),
            ("10.0.0.1:9100", "127.0.0.1:0", None, Some("agent.nameserver is on another one")),
            ("ns.example:9100", "[::1]:0", None, Some("agent.nameserver is on another one")),
            ("127.0.0.1:9100", "0.0.0.0:7000", None, Some("all addresses of this host")),
            ("10.0.0.1:9100", "[::]:0", None, Some("all addresses of this host")),
        ];
        for (nameserver, listen, advertise, wrong) in cases {
            let config = AgentConfig {
                nameserver: nameserver.to_owned(),
                listen: listen.parse().unwrap(),
                advertise: advertise.map(str::to_owned),
                ..AgentConfig::default()
            };
            let error = config.validate().map_err(|error| error.to_string());
            let Some(wrong) = wrong else {
                assert_eq!(error, Ok(()), "{nameserver} {listen}");
                continue;
            };
            let error = error.unwrap_err();
            let start = format!("agent.listen = {listen} ");
            assert!(error.starts_with(&start) && error.contains(wrong), "{error}");
            assert!(error.contains("set agent.listen to") && error.contains("agent.advertise"));
        }
    }
}

//! Hardware addresses of network adapters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A unicast EUI-48 address. Written `0a:1b:2c:3d:4e:5f`; read with `:`, `-` or no separator, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The six octets, first sent first.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Twelve upper-case digits without separators, as Hyper-V prints and takes them.
    pub(crate) fn plain_upper(self) -> String {
        self.0.iter().map(|octet| format!("{octet:02X}")).collect()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octets = parse_octets(text)
            .ok_or_else(|| format!("mac address {} is not six octets", crate::error::shown(text)))?;
        if octets == [0; 6] {
            return Err("mac address is all zero".into());
        }
        if octets[0] & 1 == 1 {
            return Err(format!("mac address {} is a group address", crate::error::shown(text)));
        }
        Ok(Self(octets))
    }
}

fn parse_octets(text: &str) -> Option<[u8; 6]> {
    let digits: Vec<u8> = match text.len() {
        12 => text.bytes().collect(),
        17 => {
            let separator = *text.as_bytes().get(2)?;
            if !matches!(separator, b':' | b'-') {
                return None;
            }
            let groups: Vec<&[u8]> = text.as_bytes().split(|&byte| byte == separator).collect();
            if groups.iter().any(|group| group.len() != 2) {
                return None;
            }
            groups.concat()
        }
        _ => return None,
    };
    let mut octets = [0; 6];
    let mut pairs = digits.chunks_exact(2);
    for octet in &mut octets {
        let &[high, low] = pairs.next()? else { return None };
        let high = char::from(high).to_digit(16)?;
        let low = char::from(low).to_digit(16)?;
        *octet = u8::try_from(high * 16 + low).ok()?;
    }
    pairs.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_spellings_and_writes_one() {
        for text in ["0a:1b:2c:3d:4e:5f", "0A-1B-2C-3D-4E-5F", "0a1B2c3D4e5F"] {
            let mac: MacAddress = text.parse().unwrap();
            assert_eq!(mac.to_string(), "0a:1b:2c:3d:4e:5f");
            assert_eq!(mac.plain_upper(), "0A1B2C3D4E5F");
        }
    }

    #[test]
    fn refuses_what_is_no_unicast_address() {
        for text in [
            "",
            "0a:1b:2c:3d:4e",
            "0a:1b-2c:3d:4e:5f",
            "0a:1b:2c:3d:4e:5g",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "0a:1b:2c:3d:4e:5f:60",
            "0a::1b2c:3d:4e:5f",
            "+a:1b:2c:3d:4e:5f",
            "0a1b2c3d4e5é",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}

//! The data of options ("Option types").

use crate::wire::{ALLOCATION, Fields};

/// INFO and GO: an export, and what the client wants to know about it.
pub(crate) struct InfoRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) wanted: Vec<u16>,
}

impl<'a> InfoRequest<'a> {
    /// `None` when it is not put together as it must be.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(data);
        let name = fields.string()?;
        let count = fields.u16()?;
        // The data was bounded when it was read, and the count has to be its.
        if fields.0.len() != usize::from(count) * 2 {
            return None;
        }
        let wanted = std::iter::from_fn(|| fields.u16()).collect();
        Some(Self { name, wanted })
    }
}

/// `LIST_META_CONTEXT` and `SET_META_CONTEXT`: an export, and which contexts.
pub(crate) struct ContextRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) queries: Vec<&'a str>,
}

impl<'a> ContextRequest<'a> {
    /// `None` when it is not put together as it must be.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(data);
        let name = fields.string()?;
        let count = fields.u32()?;
        let mut queries = Vec::new();
        for _ in 0..count {
            // Ends with the data, whatever the count says.
            let query = fields.string()?;
            // A query starts with a namespace.
            query.contains(':').then(|| queries.push(query))?;
        }
        fields.0.is_empty().then_some(Self { name, queries })
    }

    /// Whether `base:allocation` is meant: by no query or its namespace when the contexts are only listed, always by its name.
    pub(crate) fn means_allocation(&self, only_list: bool) -> bool {
        (only_list && self.queries.is_empty())
            || self.queries.iter().any(|query| *query == ALLOCATION || (only_list && *query == "base:"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn contexts(queries: &[&str]) -> Vec<u8> {
        let start = Message::default().u32(1).bytes(b"x").u32(queries.len() as u32);
        queries.iter().fold(start, |m, query| m.u32(query.len() as u32).bytes(query.as_bytes())).0
    }

    #[test]
    fn queries_mean_what_the_protocol_says() {
        for (queries, listed, set) in [
            (&[][..], true, false),
            (&["base:"], true, false),
            (&["base:allocation"], true, true),
            (&["qemu:dirty-bitmap:x", "base:allocation"], true, true),
            (&["qemu:"], false, false),
        ] {
            let data = contexts(queries);
            let request = ContextRequest::parse(&data).unwrap();
            assert_eq!((request.means_allocation(true), request.means_allocation(false)), (listed, set));
            for len in 0..data.len() {
                assert!(ContextRequest::parse(&data[..len]).is_none(), "{len}");
            }
            assert!(ContextRequest::parse(&[&data[..], &[0]].concat()).is_none());
        }
        assert!(ContextRequest::parse(&contexts(&["allocation"])).is_none(), "no namespace");
        let endless = Message::default().u32(0).u32(u32::MAX).0;
        assert!(ContextRequest::parse(&endless).is_none());
    }

    #[test]
    fn a_request_for_information_is_as_long_as_it_says() {
        let data = Message::default().u32(2).bytes(b"ab").u16(2).u16(3).u16(0).0;
        let request = InfoRequest::parse(&data).unwrap();
        assert_eq!((request.name, &request.wanted[..]), ("ab", &[3, 0][..]));
        for len in 0..data.len() {
            assert!(InfoRequest::parse(&data[..len]).is_none(), "{len}");
        }
        assert!(InfoRequest::parse(&[&data[..], &[0]].concat()).is_none());
        assert!(InfoRequest::parse(&Message::default().u32(5000).bytes(&[b'a'; 5000]).u16(0).0).is_none());
        assert!(InfoRequest::parse(&Message::default().u32(1).bytes(&[0xff]).u16(0).0).is_none());
    }
}

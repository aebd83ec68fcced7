use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::Negotiated;
use super::check;
use super::malformed::malformed;
use super::member::VALUE;
use super::member::put;
use super::member::put_text;
use super::members::put_key;
use super::split_key;
use super::value::check_bytes;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_CACHE_TRANSFER: documents out of the producer's memory, in no order (dcp-protocol.md §4.11).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CacheTransfer {
    /// The records, at least one; their keys and values stay in the frame.
    pub items: Vec<CacheItem>,
}

/// One record of a cache transfer, without its key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheItem {
    /// CAS of the document.
    pub cas: u64,
    /// Seqno in the vbucket.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// Bytes of its value.
    pub value_len: u32,
    /// The user's flags.
    pub flags: u32,
    /// When the document expires, seconds since the epoch; 0 for never.
    pub expiration: u32,
    /// Bytes of its key, with the collection id.
    pub key_len: u16,
    /// How its value is to be read.
    pub datatype: Datatype,
    /// How hot it is in the producer's cache.
    pub cache_hint: u8,
    /// The collection id that its key begins with, where the connection has collections.
    pub collection_id: Option<u32>,
}

impl CacheTransfer {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras (their length is reserved as a version), a key, or records that do not fit the value.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_extras(frame)?;
        check::no_key(frame)?;
        check::no_cas(frame)?;
        let value = frame.value().unwrap_or_default();
        if value.len() < 42 {
            return Err(malformed!(
                "expected DCP_CACHE_TRANSFER to have a value of at least 42 bytes, found {}",
                value.len()
            ));
        }
        let mut items = Vec::new();
        for record in Records(value) {
            let Record { mut item, key, value } = record?;
            item.collection_id = split_key(key, negotiated.collections)?.collection_id;
            if !item.datatype.is_defined() {
                return Err(malformed!(
                    "expected a cached item's datatype to be at most 0x07, found 0x{:02x}",
                    item.datatype.0
                ));
            }
            if !value.is_empty() {
                check_bytes(value, item.datatype)?;
            }
            items.push(item);
        }
        Ok(Self { items })
    }

    /// The request of these records: each an item, its whole key and its value. The items' lengths are taken from them.
    pub fn request<'a>(
        records: impl IntoIterator<Item = (&'a CacheItem, &'a [u8], &'a [u8])>,
        vbucket: u16,
        opaque: Opaque,
    ) -> FrameBuilder {
        let mut to = Vec::new();
        for (item, key, value) in records {
            to.extend(item.cas.to_be_bytes());
            to.extend(item.by_seqno.to_be_bytes());
            to.extend(item.rev_seqno.to_be_bytes());
            to.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            to.extend(item.flags.to_be_bytes());
            to.extend(item.expiration.to_be_bytes());
            to.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
            to.extend([item.datatype.0, item.cache_hint]);
            to.extend_from_slice(key);
            to.extend_from_slice(value);
        }
        FrameBuilder::request(Opcode::DCP_CACHE_TRANSFER).vbucket(vbucket).opaque(opaque).value(to)
    }

    pub(super) fn members(
        &self,
        frame: Option<&Frame<'_>>,
        negotiated: &Negotiated,
        values: bool,
        to: &mut impl MemberSink,
    ) {
        to.open_list(MemberName::items);
        let mut records = Records(frame.and_then(Frame::value).unwrap_or_default()).flatten();
        for item in &self.items {
            to.open_object();
            put!(to, item, cas, by_seqno, rev_seqno, value_len, flags, expiration, key_len, cache_hint);
            to.member(MemberName::datatype, item.datatype.0.into());
            match records.next() {
                Some(record) => {
                    put_key(record.key, negotiated, to);
                    if values {
                        put_text(VALUE, record.value, to);
                    }
                }
                None if item.collection_id.is_some() => put!(to, item, collection_id),
                None => {}
            }
            to.close_object();
        }
        to.close_list();
    }
}

/// One record, with the key and value that the struct leaves in the frame.
struct Record<'a> {
    item: CacheItem,
    key: &'a [u8],
    value: &'a [u8],
}

/// The records of a value; it ends behind the first that does not fit.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let Some((head, rest)) = bytes.split_at_checked(RECORD_LEN) else {
            return Some(Err(malformed!("expected {RECORD_LEN} bytes of a cached item, found {}", bytes.len())));
        };
        let mut fields = check::Fields(head);
        let item = CacheItem {
            cas: fields.u64(),
            by_seqno: fields.u64(),
            rev_seqno: fields.u64(),
            value_len: fields.u32(),
            flags: fields.u32(),
            expiration: fields.u32(),
            key_len: fields.u16(),
            datatype: Datatype(fields.u8()),
            cache_hint: fields.u8(),
            collection_id: None,
        };
        if !(2..=251).contains(&item.key_len) {
            return Some(Err(malformed!("expected a cached item's key_len to be 2 to 251, found {}", item.key_len)));
        }
        let parts = rest
            .split_at_checked(item.key_len.into())
            .and_then(|(key, rest)| Some((key, rest.split_at_checked(item.value_len as usize)?)));
        let Some((key, (value, rest))) = parts else {
            return Some(Err(malformed!(
                "expected a cached item's key of {} bytes and value of {}, found {} bytes in all",
                item.key_len,
                item.value_len,
                rest.len()
            )));
        };
        self.0 = rest;
        Some(Ok(Record { item, key, value }))
    }
}

/// Bytes of a record before its key.
const RECORD_LEN: usize = 40;

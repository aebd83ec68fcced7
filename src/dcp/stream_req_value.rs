//! The JSON value of a stream request (dcp-protocol.md §3.1).

use serde_json::Map;
use serde_json::Value;

use super::CacheTransferRequest;
use super::Malformed;
use super::StreamReqValue;
use super::malformed::malformed;

/// The members that are known; one of them at least must be there.
const KNOWN: [&str; 6] = ["uid", "sid", "collections", "scope", "purge_seqno", "cts"];

/// Reads the value; `None` where it is empty.
pub(super) fn parse(value: &[u8]) -> Result<Option<StreamReqValue>, Malformed> {
    if value.is_empty() {
        return Ok(None);
    }
    let members: Map<String, Value> = serde_json::from_slice(value)
        .map_err(|error| malformed!("expected the value of DCP_STREAM_REQ to be a JSON object, found: {error}"))?;
    if !KNOWN.iter().any(|name| members.contains_key(*name)) {
        return Err(malformed!("expected the value of DCP_STREAM_REQ to have one of {}, found none", KNOWN.join(", ")));
    }
    let read = StreamReqValue {
        uid: member(&members, "uid", "a hex string", hex)?,
        sid: member(&members, "sid", "a number of 1 to 65535", |sid| {
            sid.as_u64().and_then(|sid| u16::try_from(sid).ok()).filter(|&sid| sid != 0)
        })?,
        collections: member(&members, "collections", "an array of hex strings", |ids| {
            ids.as_array()?.iter().map(hex32).collect()
        })?,
        scope: member(&members, "scope", "a hex string", hex32)?,
        purge_seqno: member(&members, "purge_seqno", "a decimal string", |seqno| seqno.as_str()?.parse().ok())?,
        cts: member(&members, "cts", "an object", |cts| {
            let cts = cts.as_object()?;
            Some(CacheTransferRequest {
                free_memory: cts.get("free_memory").and_then(Value::as_u64),
                all_keys: cts.get("all_keys").and_then(Value::as_bool),
            })
        })?,
    };
    if read.collections.is_some() && read.scope.is_some() {
        return Err(malformed!("expected either 'collections' or 'scope' in the value of DCP_STREAM_REQ, found both"));
    }
    Ok(Some(read))
}

/// The value as JSON.
pub(super) fn json(value: &StreamReqValue) -> Value {
    let hex_of = |id: u64| Value::from(format!("{id:x}"));
    let mut to = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            to.insert(name.to_owned(), value);
        }
    };
    put("uid", value.uid.map(hex_of));
    put("sid", value.sid.map(Value::from));
    let ids = value.collections.as_ref().map(|ids| ids.iter().map(|&id| hex_of(id.into())).collect());
    put("collections", ids);
    put("scope", value.scope.map(|id| hex_of(id.into())));
    put("purge_seqno", value.purge_seqno.map(|seqno| seqno.to_string().into()));
    let cts = value.cts.map(|cts| {
        let members = [("free_memory", cts.free_memory.map(Value::from)), ("all_keys", cts.all_keys.map(Value::from))];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    });
    put("cts", cts.map(Value::Object));
    Value::Object(to)
}

fn member<T>(
    members: &Map<String, Value>,
    name: &str,
    expected: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    let Some(value) = members.get(name) else { return Ok(None) };
    read(value)
        .map(Some)
        .ok_or_else(|| malformed!("expected '{name}' in the value of DCP_STREAM_REQ to be {expected}, found {value}"))
}

fn hex(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?, 16).ok()
}

fn hex32(value: &Value) -> Option<u32> {
    hex(value).and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_there_and_back() {
        let text = r#"{"uid":"1f","sid":71,"collections":["0","8a"],"purge_seqno":"81021","cts":{"free_memory":9,"all_keys":true}}"#;
        let value = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((value.uid, value.sid, value.purge_seqno), (Some(0x1f), Some(71), Some(81021)));
        assert_eq!(value.collections, Some(vec![0, 0x8a]));
        assert_eq!(value.cts, Some(CacheTransferRequest { free_memory: Some(9), all_keys: Some(true) }));
        assert_eq!(json(&value).to_string(), text);
        assert_eq!(parse(b"").unwrap(), None);
        let value = parse(br#"{"scope":"a","unknown":[]}"#).unwrap().unwrap();
        assert_eq!(value.scope, Some(10));
    }

    #[test]
    fn what_is_refused() {
        for (text, why) in [
            ("[]", "JSON object"),
            ("{}", "one of uid"),
            (r#"{"other":1}"#, "one of uid"),
            (r#"{"sid":0}"#, "1 to 65535"),
            (r#"{"sid":"1"}"#, "1 to 65535"),
            (r#"{"sid":65536}"#, "1 to 65535"),
            (r#"{"collections":[8]}"#, "hex strings"),
            (r#"{"collections":["8"],"scope":"8"}"#, "found both"),
            (r#"{"purge_seqno":8}"#, "decimal string"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.0.contains(why), "{error}");
        }
    }
}

use bytes::Bytes;

use super::Datatype;
use super::FrameInfo;
use super::Magic;
use super::Opaque;
use super::Opcode;
use super::ServerOpcode;
use super::Status;

/// Makes a frame of the tool's own, or of the embedded node's. A relayed frame is never rebuilt (law L1).
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    magic: Magic,
    opcode: u8,
    vbucket_or_status: u16,
    datatype: Datatype,
    opaque: Opaque,
    cas: u64,
    framing_extras: Vec<u8>,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl FrameBuilder {
    const fn new(magic: Magic, opcode: u8, vbucket_or_status: u16) -> Self {
        Self {
            magic,
            opcode,
            vbucket_or_status,
            datatype: Datatype::RAW,
            opaque: Opaque([0; 4]),
            cas: 0,
            framing_extras: Vec::new(),
            extras: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    /// A request (0x80, or 0x08 once framing extras are given) for vbucket 0.
    pub const fn request(opcode: Opcode) -> Self {
        Self::new(Magic::REQUEST, opcode.0, 0)
    }

    /// A response (0x81, or 0x18 once framing extras are given).
    pub const fn response(opcode: Opcode, status: Status) -> Self {
        Self::new(Magic::RESPONSE, opcode.0, status.0)
    }

    /// A server request (0x82).
    pub const fn server_request(opcode: ServerOpcode) -> Self {
        Self::new(Magic::SERVER_REQUEST, opcode.0, 0)
    }

    /// Its opcode.
    pub const fn opcode(&self) -> Opcode {
        Opcode(self.opcode)
    }

    /// Sets the vbucket of a request.
    #[must_use]
    pub const fn vbucket(mut self, vbucket: u16) -> Self {
        self.vbucket_or_status = vbucket;
        self
    }

    /// Sets the opaque.
    #[must_use]
    pub const fn opaque(mut self, opaque: Opaque) -> Self {
        self.opaque = opaque;
        self
    }

    /// Sets the CAS.
    #[must_use]
    pub const fn cas(mut self, cas: u64) -> Self {
        self.cas = cas;
        self
    }

    /// Sets the datatype.
    #[must_use]
    pub const fn datatype(mut self, datatype: Datatype) -> Self {
        self.datatype = datatype;
        self
    }

    /// Sets the extras: at most 255 bytes, what is beyond is cut.
    #[must_use]
    pub fn extras(mut self, extras: impl Into<Vec<u8>>) -> Self {
        self.extras = extras.into();
        self.extras.truncate(usize::from(u8::MAX));
        self
    }

    /// Sets the key: at most 65,535 bytes (255 in the flex forms), what is beyond is cut.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = value.into();
        self
    }

    /// Appends a frame info with an id and a length below 15, and turns the frame into its flex form.
    #[must_use]
    pub fn frame_info(mut self, id: u16, data: &[u8]) -> Self {
        let id = u8::try_from(id.min(14)).unwrap_or_default();
        let data = data.get(..data.len().min(14)).unwrap_or_default();
        self.framing_extras.push(id << 4 | data.len() as u8);
        self.framing_extras.extend_from_slice(data);
        self
    }

    /// Appends a DCP stream id, where there is one.
    #[must_use]
    pub fn stream_id(self, stream_id: Option<u16>) -> Self {
        match stream_id {
            Some(id) => self.frame_info(FrameInfo::STREAM_ID, &id.to_be_bytes()),
            None => self,
        }
    }

    /// The frame's bytes, appended to `to`.
    pub fn write(&self, to: &mut Vec<u8>) {
        let flex = !self.framing_extras.is_empty();
        let magic = match self.magic {
            Magic::REQUEST if flex => Magic::FLEX_REQUEST,
            Magic::RESPONSE if flex => Magic::FLEX_RESPONSE,
            magic => magic,
        };
        let key_limit = if flex { usize::from(u8::MAX) } else { usize::from(u16::MAX) };
        let key = self.key.get(..self.key.len().min(key_limit)).unwrap_or_default();
        let body = [self.framing_extras.as_slice(), &self.extras, key, &self.value];
        let body_len: usize = body.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        to.reserve(body_len.saturating_add(super::HEADER_LEN));
        to.extend([magic.0, self.opcode]);
        if flex {
            to.extend([self.framing_extras.len() as u8, key.len() as u8]);
        } else {
            to.extend((key.len() as u16).to_be_bytes());
        }
        to.extend([self.extras.len() as u8, self.datatype.0]);
        to.extend(self.vbucket_or_status.to_be_bytes());
        to.extend(u32::try_from(body_len).unwrap_or(u32::MAX).to_be_bytes());
        to.extend(self.opaque.0);
        to.extend(self.cas.to_be_bytes());
        for part in body {
            to.extend_from_slice(part);
        }
    }

    /// The frame's bytes.
    pub fn build(&self) -> Bytes {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;

    #[test]
    fn parts_come_back_as_they_were_given() {
        let bytes = FrameBuilder::request(Opcode::DCP_MUTATION)
            .vbucket(7)
            .opaque(Opaque([1, 2, 3, 4]))
            .cas(9)
            .datatype(Datatype::JSON)
            .extras([5; 31])
            .key(*b"key")
            .value(*b"{}")
            .stream_id(Some(71))
            .build();
        let frame = Frame::whole(&bytes).unwrap();
        assert_eq!(frame.header().magic, Magic::FLEX_REQUEST);
        assert_eq!(frame.header().vbucket(), Some(7));
        assert_eq!(frame.frame_infos().stream_id(), Some(71));
        assert_eq!((frame.extras(), frame.key(), frame.value()), (&[5; 31][..], &b"key"[..], Some(&b"{}"[..])));
    }

    #[test]
    fn a_response_without_body_is_a_header() {
        let bytes = FrameBuilder::response(Opcode::DCP_PREPARE, Status::KEY_ENOENT).build();
        assert_eq!(hex::encode(&bytes), "816000000000000100000000000000000000000000000000");
    }
}

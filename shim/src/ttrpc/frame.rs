//! Frames: cutting them out of a stream of bytes and making them.

use thiserror::Error;

/// Length (u32), stream id (u32), kind (u8), flags (u8), in network order.
pub(crate) const HEADER_BYTES: usize = 10;
/// Longest message that containerd's ttrpc sends or takes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;

pub(crate) const KIND_REQUEST: u8 = 1;
pub(crate) const KIND_RESPONSE: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) stream_id: u32,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// the peer announces more bytes than any message may have
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
}

/// Header and payload, ready to be written.
pub(crate) fn encode(stream_id: u32, kind: u8, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= MAX_MESSAGE_BYTES => length,
        _ => return Err(FrameError::TooLong(payload.len())),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&stream_id.to_be_bytes());
    bytes.extend_from_slice(&[kind, 0]);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Bytes received so far that are not yet a whole frame.
#[derive(Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Take the next whole frame, if there is one.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((&header, rest)) = self.bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame {
            stream_id: u32::from_be_bytes([s0, s1, s2, s3]),
            kind,
            payload: payload.to_vec(),
        };
        self.bytes.drain(..HEADER_BYTES + length);
        if self.bytes.is_empty() {
            // A shim sleeps most of its life: give the memory of a large request back.
            self.bytes = Vec::new();
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let mut stream = encode(1, KIND_REQUEST, b"hello").unwrap();
        stream.extend(encode(3, KIND_REQUEST, b"").unwrap());
        for cut in 0..stream.len() {
            let mut buffer = FrameBuffer::default();
            let mut frames = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend(part);
                while let Some(frame) = buffer.next_frame().unwrap() {
                    frames.push((frame.stream_id, frame.payload));
                }
            }
            assert_eq!(
                frames,
                [(1, b"hello".to_vec()), (3, Vec::new())],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_buffered() {
        let mut buffer = FrameBuffer::default();
        buffer.extend(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
        assert_eq!(buffer.next_frame(), Err(FrameError::TooLong(0x7f00_0000)));
    }
}

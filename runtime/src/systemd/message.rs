//! D-Bus messages, as far as systemd's manager needs them: the wire format of the D-Bus specification, little-endian.
//!
//! What is read comes from systemd or a message bus, which are trusted with more than this; lengths are checked all the
//! same.

use std::io;

/// A value with its type, for `a(sv)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    I32(i32),
    U32(u32),
    U64(u64),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<u32>),
    Bytes(Vec<u8>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Value::Bool(_) => "b",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::U64(_) => "t",
            Value::Text(_) => "s",
            Value::Texts(_) => "as",
            Value::Numbers(_) => "au",
            Value::Bytes(_) => "ay",
        }
    }
}

/// Named values, `a(sv)`.
pub type Properties = Vec<(String, Value)>;

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Call = 1,
    Error = 3,
    Signal = 4,
}

/// Bytes with the alignment that the format demands, counted from their beginning.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    /// A string or an object path.
    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements are aligned to `to`, written by `elements`.
    fn array(&mut self, to: usize, elements: impl FnOnce(&mut Writer)) {
        self.number(0);
        let length_at = self.0.len() - 4;
        self.align(to);
        let start = self.0.len();
        elements(self);
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(value) => self.number((*value).into()),
            Value::I32(value) => self.number(*value as u32),
            Value::U32(value) => self.number(*value),
            Value::U64(value) => self.long(*value),
            Value::Text(value) => self.text(value),
            Value::Texts(values) => self.array(4, |to| {
                values.iter().for_each(|value| to.text(value));
            }),
            Value::Numbers(values) => self.array(4, |to| {
                values.iter().for_each(|value| to.number(*value));
            }),
            Value::Bytes(bytes) => self.array(1, |to| to.0.extend(bytes)),
        }
    }

    pub fn properties(&mut self, properties: &Properties) {
        self.array(8, |to| {
            for (name, value) in properties {
                to.align(8);
                to.text(name);
                to.variant(value);
            }
        });
    }

    /// An array of structures without elements.
    pub fn no_structures(&mut self) {
        self.array(8, |_| ());
    }

    pub fn bool(&mut self, value: bool) {
        self.number(value.into());
    }
}

/// A call of `destination`'s object `path`.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    /// The types of the body.
    pub signature: &'a str,
}

impl Call<'_> {
    /// The whole message.
    pub fn encode(&self, serial: u32, body: Writer) -> Vec<u8> {
        const LITTLE_ENDIAN: u8 = b'l';
        const VERSION: u8 = 1;
        let mut message = Writer(vec![LITTLE_ENDIAN, Kind::Call as u8, 0, VERSION]);
        message.number(body.0.len() as u32);
        message.number(serial);
        message.array(8, |fields| {
            let texts = [
                (1, "o", self.path),
                (2, "s", self.interface),
                (3, "s", self.member),
                (6, "s", self.destination),
            ];
            for (code, kind, text) in texts {
                fields.align(8);
                fields.0.push(code);
                fields.signature(kind);
                fields.text(text);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.0.push(8);
                fields.signature("g");
                fields.signature(self.signature);
            }
        });
        message.align(8);
        message.0.extend(body.0);
        message.0
    }
}

/// A message that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// As in [`Kind`].
    pub kind: u8,
    /// Which call it answers.
    pub reply_to: u32,
    pub member: String,
    /// Of an error, such as `org.freedesktop.systemd1.UnitExists`.
    pub error: String,
    /// The strings, paths and numbers of its body up to the first value of another type.
    pub arguments: Vec<String>,
}

/// Length of the part that tells how long a message is.
pub const PREFIX_BYTES: usize = 16;

/// Longest message that is read.
const MOST_BYTES: usize = 1 << 20;

/// How many bytes follow the prefix: the rest of the header, padded, and the body.
pub fn rest_bytes(prefix: &[u8; PREFIX_BYTES]) -> io::Result<usize> {
    let number = |at: usize| Reader::new(prefix).at(at).number();
    if prefix[0] != b'l' {
        return Err(broken("not little-endian"));
    }
    let (body, fields) = (number(4)? as usize, number(12)? as usize);
    let total = (PREFIX_BYTES + fields).next_multiple_of(8) - PREFIX_BYTES + body;
    if body > MOST_BYTES || fields > MOST_BYTES {
        return Err(broken("too long"));
    }
    Ok(total)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("D-Bus message: {what}"))
}

/// Decode a whole message, prefix included.
pub fn decode(bytes: &[u8]) -> io::Result<Received> {
    let mut reader = Reader::new(bytes).at(12);
    let length = reader.number()? as usize;
    let end = reader.position + length;
    let mut received = Received {
        kind: *bytes.get(1).ok_or_else(|| broken("cut off"))?,
        ..Received::default()
    };
    let mut signature = String::new();
    while reader.position < end {
        reader.align(8);
        let code = reader.byte()?;
        let kind = reader.signature()?;
        match (code, kind.as_str()) {
            (8, "g") => signature = reader.signature()?,
            (_, "g") => drop(reader.signature()?),
            (5, "u") => received.reply_to = reader.number()?,
            (_, "u") => drop(reader.number()?),
            (3, "s") => received.member = reader.text()?,
            (4, "s") => received.error = reader.text()?,
            (_, "s" | "o") => drop(reader.text()?),
            _ => return Err(broken("a header field of an unknown type")),
        }
    }
    reader.align(8);
    for kind in signature.chars() {
        received.arguments.push(match kind {
            's' | 'o' => reader.text()?,
            'u' => reader.number()?.to_string(),
            _ => break,
        });
    }
    Ok(received)
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0 }
    }

    fn at(mut self, position: usize) -> Reader<'a> {
        self.position = position;
        self
    }

    fn align(&mut self, to: usize) {
        self.position = self.position.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let end = self.position.saturating_add(count);
        let taken = self.bytes.get(self.position..end);
        self.position = end;
        taken.ok_or_else(|| broken("cut off"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.number()? as usize;
        self.terminated(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.byte()?.into();
        self.terminated(length)
    }

    fn terminated(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "RequestName",
        signature: "su",
    };

    /// A call reads as a message with its own member and body.
    #[test]
    fn what_is_written_can_be_read() {
        let mut body = Writer::default();
        body.text("com.example");
        body.number(4);
        let bytes = CALL.encode(7, body);
        let mut prefix = [0; PREFIX_BYTES];
        prefix.copy_from_slice(&bytes[..PREFIX_BYTES]);
        assert_eq!(
            rest_bytes(&prefix).expect("length"),
            bytes.len() - PREFIX_BYTES
        );
        let received = decode(&bytes).expect("whole");
        assert_eq!(received.kind, Kind::Call as u8);
        assert_eq!(received.member, "RequestName");
        assert_eq!(received.arguments, ["com.example", "4"]);
        for length in 0..bytes.len() {
            // Never a panic, whatever is missing.
            decode(&bytes[..length]).expect_err("cut off");
        }
    }

    /// As the specification has it in its section on marshaling.
    #[test]
    fn properties_are_aligned_to_eight() {
        let mut body = Writer::default();
        body.properties(&vec![
            ("A".into(), Value::U64(5)),
            ("B".into(), Value::Numbers(vec![9])),
        ]);
        let expected: &[u8] = &[
            44, 0, 0, 0, 0, 0, 0, 0, // length, and the padding that is not counted
            1, 0, 0, 0, b'A', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, //
            1, 0, 0, 0, b'B', 0, 2, b'a', b'u', 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0,
        ];
        assert_eq!(body.0, expected);
    }
}

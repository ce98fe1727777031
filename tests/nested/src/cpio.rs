//! Writes initial ramdisks: cpio archives in the "newc" format. Several of them may follow each other.

/// An archive being made.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    next_inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

impl Archive {
    /// A directory that everybody may enter.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    /// A regular file that everybody may execute.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o755, content);
    }

    /// The finished archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.next_inode += 1;
        let name_length = path.len() + 1;
        self.bytes.extend_from_slice(b"070701");
        let fields = [
            self.next_inode as usize,
            mode as usize,
            0, // uid
            0, // gid
            1, // links
            0, // modification time
            content.len(),
            0, // device, major and minor
            0,
            0, // device of a node, major and minor
            0,
            name_length,
            0, // checksum
        ];
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn header_name_and_content_are_padded() {
        let mut archive = Archive::default();
        archive.file("ab", b"12345");
        let bytes = archive.finish();
        // 110 bytes of header, "ab\0" and padding make 116; then the content and padding.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[110..116], b"ab\0\0\0\0");
        assert_eq!(&bytes[116..124], b"12345\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}

//! Archives made by hand, honest and hostile: zip with every lie that its headers can tell, tar with every kind.

use std::io::Write as _;

/// One entry of a zip, with what its headers say.
#[derive(Clone)]
pub struct Zipped {
    pub name: Vec<u8>,
    /// The name in the local header, where it is another.
    pub local_name: Option<Vec<u8>>,
    /// What stands in the archive.
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    /// The length that the headers say.
    pub size: u32,
    pub crc: u32,
    /// A mode of Unix.
    pub mode: u32,
    /// Where it lies, where that is within another entry.
    pub lies_at: Option<u32>,
}

pub fn zipped(name: &str, content: &[u8]) -> Zipped {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    Zipped {
        name: name.into(),
        local_name: None,
        data: content.to_vec(),
        method: 0,
        flags: 1 << 11,
        size: content.len() as u32,
        crc: crc.sum(),
        mode: 0,
        lies_at: None,
    }
}

/// An entry whose content is compressed; its headers say the truth.
pub fn deflated(name: &str, content: &[u8]) -> Zipped {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content).expect("it is compressed");
    Zipped { data: out.finish().expect("it is compressed"), method: 8, ..zipped(name, content) }
}

impl Zipped {
    fn words(&self, name: &[u8]) -> Vec<u8> {
        let mut words = Vec::new();
        words.extend(self.flags.to_le_bytes());
        words.extend(self.method.to_le_bytes());
        words.extend([0, 0, 0x21, 0x5b]);
        words.extend(self.crc.to_le_bytes());
        words.extend((self.data.len() as u32).to_le_bytes());
        words.extend(self.size.to_le_bytes());
        words.extend((name.len() as u16).to_le_bytes());
        words.extend([0, 0]);
        words
    }

    /// The entry as it stands in the archive: header, name and content.
    pub fn local(&self) -> Vec<u8> {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        [b"PK\x03\x04\x14\0", &self.words(name)[..], name, &self.data].concat()
    }
}

pub fn zip(entries: &[Zipped]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.lies_at.unwrap_or(out.len() as u32);
        if entry.lies_at.is_none() {
            out.extend(entry.local());
        }
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(entry.words(&entry.name));
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&entry.name);
    }
    let (at, count) = (out.len() as u32, (entries.len() as u16).to_le_bytes());
    let length = (directory.len() as u32).to_le_bytes();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend(length);
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// One entry of a tar.
pub struct Tarred<'a> {
    pub name: &'a [u8],
    pub kind: tar::EntryType,
    pub data: &'a [u8],
    /// The length that the header says.
    pub size: u64,
}

pub fn tarred<'a>(name: &'a str, data: &'a [u8]) -> Tarred<'a> {
    Tarred { name: name.as_bytes(), kind: tar::EntryType::Regular, data, size: data.len() as u64 }
}

pub fn of_kind(name: &str, kind: tar::EntryType) -> Tarred<'_> {
    Tarred { kind, ..tarred(name, b"") }
}

/// A tar without its end.
pub fn tar_open(entries: &[Tarred<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.size);
        header.set_mode(0o644);
        header.set_entry_type(entry.kind);
        header.as_gnu_mut().expect("made as one").name[..entry.name.len()].copy_from_slice(entry.name);
        if entry.kind.is_symlink() || entry.kind.is_hard_link() {
            header.set_link_name("/etc/passwd").expect("it fits");
        }
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(entry.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out
}

pub fn tar_of(entries: &[Tarred<'_>]) -> Vec<u8> {
    [tar_open(entries), vec![0; 1024]].concat()
}

pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    tar_of(&files.iter().map(|(name, data)| tarred(name, data)).collect::<Vec<_>>())
}

/// An extended header that says something of the next entry.
pub fn extended(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length =
        (1..).find(|length: &usize| rest.len() + length.to_string().len() == *length).unwrap_or_default();
    format!("{length}{rest}").into_bytes()
}

pub fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content).expect("it is compressed");
    out.finish().expect("it is compressed")
}

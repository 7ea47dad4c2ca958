//! WebAssembly modules byte by byte, for what no text says.
#![allow(dead_code)] // each test binary uses its part

/// A number as modules have it.
pub fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

/// Content after its length.
pub fn sized(content: Vec<u8>) -> Vec<u8> {
    [leb(content.len()), content].concat()
}

/// A section: its number, how many entries there are, and them.
pub fn section(id: u8, count: usize, entries: Vec<u8>) -> Vec<u8> {
    [vec![id], sized([leb(count), entries].concat())].concat()
}

/// A module of sections.
pub fn whole(sections: &[Vec<u8>]) -> Vec<u8> {
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

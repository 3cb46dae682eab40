//! A data set as the file that it would be: preamble and file meta group before it (PS3.10 7.1).

/// ImplementationClassUID of ovomesh, derived from a UUID (PS3.5 B.2).
const IMPLEMENTATION: &str = "2.25.200236583417624120915274871562184371207";

/// The file of a data set that came in this transfer syntax.
pub fn file(class: &str, instance: &str, syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    element(&mut meta, 0x0001, b"OB", &[0, 1]);
    for (number, uid) in [(0x0002, class), (0x0003, instance), (0x0010, syntax), (0x0012, IMPLEMENTATION)] {
        let mut value = uid.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(0);
        }
        element(&mut meta, number, b"UI", &value);
    }
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    // UIDs are short.
    element(&mut file, 0x0000, b"UL", &(meta.len() as u32).to_le_bytes());
    file.extend(meta);
    file.extend(data_set);
    file
}

/// An element of group 0002, explicit little endian.
fn element(into: &mut Vec<u8>, number: u16, vr: &[u8; 2], value: &[u8]) {
    into.extend([2, 0]);
    into.extend(number.to_le_bytes());
    into.extend(vr);
    if vr == b"OB" {
        into.extend([0, 0]);
        into.extend((value.len() as u32).to_le_bytes());
    } else {
        into.extend((value.len() as u16).to_le_bytes());
    }
    into.extend(value);
}

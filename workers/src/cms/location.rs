//! Where a photo was taken does not belong on a website: cameras write it into the file, and people publish it unknowingly.
//!
//! The position is overwritten in place, so everything else (the turn of the picture, its colours) stays as it was: the entries of
//! the GPS directory of EXIF (CIPA DC-008, 4.6.6) become zeros, XMP that speaks of a position becomes spaces. In JPEG, PNG and
//! WebP; AVIF keeps what it has.

use bus_schema::cms::media::MediaType;
use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
};

/// Bytes of one block of data about the picture.
const BLOCK: u64 = 4 << 20;
/// Blocks that are looked at.
const BLOCKS: usize = 10_000;
const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const XMP_MORE: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const GPS_DIRECTORY: u16 = 0x8825;

/// What to write over, by its place in the file; nothing when the picture says no position. Blocks.
pub fn patches(mut file: &File, media: &MediaType) -> io::Result<Vec<(u64, Vec<u8>)>> {
    file.rewind()?;
    let mut reader = BufReader::new(file);
    let found = match media.name {
        "image/jpeg" => jpeg(&mut reader),
        "image/png" => png(&mut reader),
        "image/webp" => webp(&mut reader),
        _ => Ok(Vec::new()),
    };
    match found {
        // A picture that is cut off says no more behind the cut.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Vec::new()),
        found => found,
    }
}

type Source<'a> = BufReader<&'a File>;

fn bytes<const N: usize>(reader: &mut Source<'_>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn block(reader: &mut Source<'_>, length: u64) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut block)?;
    if block.len() as u64 == length { Ok(block) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Segments before the picture itself: FF, a marker, a length that counts itself.
fn jpeg(reader: &mut Source<'_>) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let (mut patches, mut at) = (Vec::new(), 2);
    reader.seek(SeekFrom::Start(at))?;
    for _ in 0..BLOCKS {
        let [mark, kind, high, low] = bytes(reader)?;
        let length = u64::from(u16::from_be_bytes([high, low]));
        if mark != 0xff || kind == 0xda || length < 2 {
            break;
        }
        if kind == 0xe1 {
            let mut data = block(reader, length - 2)?;
            let changed = match &data {
                data if data.starts_with(XMP) || data.starts_with(XMP_MORE) => None,
                data => Some(data.starts_with(EXIF)),
            };
            let changed = match changed {
                Some(true) => scrub(&mut data[EXIF.len()..]),
                Some(false) => false,
                None => {
                    let begin = data.iter().position(|byte| *byte == 0).map_or(data.len(), |end| end + 1);
                    blank(&mut data[begin..])
                }
            };
            if changed {
                patches.push((at + 4, data));
            }
        } else {
            reader.seek_relative(i64::try_from(length - 2).unwrap_or(i64::MAX))?;
        }
        at += 2 + length;
    }
    Ok(patches)
}

/// Chunks: a length, a type, data, a checksum over both.
fn png(reader: &mut Source<'_>) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let (mut patches, mut at) = (Vec::new(), 8);
    for _ in 0..BLOCKS {
        reader.seek(SeekFrom::Start(at))?;
        let length = u64::from(u32::from_be_bytes(bytes(reader)?));
        let kind: [u8; 4] = bytes(reader)?;
        if &kind == b"IEND" {
            break;
        }
        if matches!(&kind, b"eXIf" | b"iTXt") && length <= BLOCK {
            let mut data = block(reader, length)?;
            let changed = match &kind {
                b"eXIf" => scrub(&mut data),
                _ if data.starts_with(b"XML:com.adobe.xmp\0\0") => blank(&mut data[22.min(length as usize)..]),
                _ => false,
            };
            if changed {
                let sum = crc32(&[&kind[..], &data].concat());
                data.extend(sum.to_be_bytes());
                patches.push((at + 8, data));
            }
        }
        at += 12 + length;
    }
    Ok(patches)
}

/// Chunks: a type, a length, data filled up to an even number of bytes.
fn webp(reader: &mut Source<'_>) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let (mut patches, mut at) = (Vec::new(), 12);
    for _ in 0..BLOCKS {
        reader.seek(SeekFrom::Start(at))?;
        let kind: [u8; 4] = match bytes(reader) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            kind => kind?,
        };
        let length = u64::from(u32::from_le_bytes(bytes(reader)?));
        if matches!(&kind, b"EXIF" | b"XMP ") && length <= BLOCK {
            let mut data = block(reader, length)?;
            let begin = if data.starts_with(EXIF) { EXIF.len() } else { 0 };
            if if &kind == b"EXIF" { scrub(&mut data[begin..]) } else { blank(&mut data) } {
                patches.push((at + 8, data));
            }
        }
        at += 8 + length + length % 2;
    }
    Ok(patches)
}

/// XMP that speaks of a position is made empty.
fn blank(xmp: &mut [u8]) -> bool {
    let speaks = memchr::memmem::find(xmp, b"GPS").is_some();
    if speaks {
        xmp.fill(b' ');
    }
    speaks
}

/// Empties the GPS directory of a block of EXIF, which is a TIFF. Whether there was one.
fn scrub(tiff: &mut [u8]) -> bool {
    let big = match tiff.get(..4) {
        Some(b"MM\0*") => true,
        Some(b"II*\0") => false,
        _ => return false,
    };
    let short = |tiff: &[u8], at: usize| {
        let pair: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |tiff: &[u8], at: usize| {
        let four: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }).ok()
    };
    let entries = |tiff: &[u8], directory: usize| -> Vec<usize> {
        let count = usize::from(short(tiff, directory).unwrap_or(0));
        let end = |at: &usize| at.checked_add(12).is_some_and(|end| end <= tiff.len());
        (0..count).filter_map(|number| directory.checked_add(2 + number * 12)).take_while(end).collect()
    };
    let Some(first) = long(tiff, 4) else { return false };
    let pointer = entries(tiff, first).into_iter().find(|at| short(tiff, *at) == Some(GPS_DIRECTORY));
    let Some(directory) = pointer.and_then(|at| long(tiff, at + 8)) else { return false };
    let found = entries(tiff, directory);
    for at in &found {
        // Bytes of one value by its type; what does not fit into the entry stands elsewhere.
        let size = match short(tiff, at + 2) {
            Some(3 | 8) => 2,
            Some(4 | 9 | 11) => 4,
            Some(5 | 10 | 12) => 8,
            _ => 1,
        };
        let length = long(tiff, at + 4).unwrap_or(0).saturating_mul(size);
        if let Some(value) = long(tiff, at + 8).filter(|_| length > 4) {
            let end = value.saturating_add(length).min(tiff.len());
            tiff.get_mut(value..end).unwrap_or_default().fill(0);
        }
    }
    for at in &found {
        tiff[*at..at + 12].fill(0);
    }
    !found.is_empty()
}

/// The checksum of PNG (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::cms::media::find;
    use std::io::Write;

    /// EXIF with the turn of the picture and a position (`N`, 52 degrees).
    fn exif(big: bool) -> Vec<u8> {
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let entry = |tag: u16, kind: u16, count: u32, value: u32| {
            [&short(tag)[..], &short(kind), &long(count), &long(value)].concat()
        };
        let mut tiff = [if big { b"MM\0*" } else { b"II*\0" }, &long(8)[..]].concat();
        tiff.extend(short(2));
        tiff.extend(entry(0x0112, 3, 1, 6));
        tiff.extend(entry(0x8825, 4, 1, 38));
        tiff.extend(long(0));
        tiff.extend(short(2));
        tiff.extend(entry(1, 2, 2, 0x4e00_0000));
        tiff.extend(entry(2, 5, 3, 68));
        tiff.extend(long(0));
        for number in [52, 1, 31, 1, 12, 1] {
            tiff.extend(long(number));
        }
        tiff
    }

    fn patched(media: &str, mut content: Vec<u8>) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        for (at, bytes) in patches(&file, find(media).unwrap()).unwrap() {
            let at = usize::try_from(at).unwrap();
            content[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        content
    }

    fn segment(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xff, kind][..], &length, data].concat()
    }

    #[test]
    fn a_position_is_gone_and_the_rest_stays() {
        for big in [true, false] {
            let mut tiff = exif(big);
            assert!(scrub(&mut tiff));
            assert_eq!(tiff[..40], exif(big)[..40], "the turn of the picture stays");
            assert!(tiff[40..].iter().all(|byte| *byte == 0), "{tiff:?}");
            assert!(scrub(&mut exif(big)[..60].to_vec()), "cut off");
            (0..40).for_each(|end| _ = scrub(&mut exif(big)[..end].to_vec()));
        }
        assert!(!scrub(&mut b"II*\0\xff\xff\xff\xff".to_vec()) && !scrub(&mut []));
    }

    #[test]
    fn every_kind_of_picture_is_cleaned() {
        let xmp = [XMP, b"<x exif:GPSLatitude='52,31N'/>"].concat();
        let data = [EXIF, &exif(true)].concat();
        let jpeg =
            [vec![0xff, 0xd8], segment(0xe0, b"JFIF"), segment(0xe1, &data), segment(0xe1, &xmp), segment(0xda, b"x")];
        let jpeg = jpeg.concat();
        let clean = patched("image/jpeg", jpeg.clone());
        assert_eq!(clean.len(), jpeg.len());
        assert_ne!(clean, jpeg);
        assert!(memchr::memmem::find(&clean, b"GPS").is_none() && memchr::memmem::find(&clean, XMP).is_some());
        assert_eq!(patched("image/jpeg", clean.clone()), clean, "nothing is left to do");

        let chunk = |kind: &[u8], data: &[u8]| {
            let sum = crc32(&[kind, data].concat()).to_be_bytes();
            [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &sum].concat()
        };
        let mut tiff = exif(false);
        let png = |tiff: &[u8]| [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"eXIf", tiff), chunk(b"IEND", b"")].concat();
        let before = png(&tiff);
        scrub(&mut tiff);
        assert_eq!(patched("image/png", before), png(&tiff), "with the checksum of what it is now");

        let part =
            |kind: &[u8], data: &[u8]| [kind, &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data].concat();
        let webp = |tiff: &[u8]| [b"RIFF\0\0\0\0WEBP".to_vec(), part(b"VP8 ", b"odd\0"), part(b"EXIF", tiff)].concat();
        assert_eq!(patched("image/webp", webp(&exif(false))), webp(&tiff));
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_says_nothing_or_is_damaged_is_left_as_it_is() {
        for (media, content) in [
            ("image/jpeg", b"\xff\xd8\xff\xe1\xff\xff".to_vec()),
            ("image/jpeg", b"\xff\xd8\xff\xe1\0\0".to_vec()),
            ("image/png", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf".to_vec()),
            ("image/webp", b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff".to_vec()),
            ("image/gif", b"GIF89a".to_vec()),
        ] {
            assert_eq!(patched(media, content.clone()), content);
        }
    }
}

//! Order-preserving composite sort keys.
//!
//! A read-store table is ordered by the bytes of its sort key. [`SortKey`] writes a tuple of typed fields so that
//! comparing the bytes gives the same answer as comparing the tuples, each field ascending or descending. Two tuples
//! are only comparable when they have the same field types and orders, which one table always has.
//!
//! Encodings, before a descending field inverts all its bytes:
//!
//! | field            | bytes                                                                             |
//! |------------------|-----------------------------------------------------------------------------------|
//! | text, bytes      | the bytes, each `00` written as `00 FF`, then the terminator `00 00`              |
//! | `u64`            | 8 bytes, big endian                                                               |
//! | `i64`, times     | 8 bytes, big endian, sign bit flipped; times are microseconds since 1970-01-01 UTC |
//! | bool             | one byte, `00` or `01`                                                            |
//! | id               | 16 bytes as they are                                                              |
//!
//! Text is ordered by its UTF-8 bytes, which is the order of its code points. A view that needs another order (case,
//! accents, a language) writes a folded copy as the field and keeps the original in the body.

/// Direction of one field of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Asc,
    /// Greatest first (newest first, for times).
    Desc,
}

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const TERMINATOR: u8 = 0x00;
const SIGN: u64 = 1 << 63;

/// Builder of a sort key: append the fields in order of significance, then [`finish`](SortKey::finish).
///
/// ```
/// use projectors::sort_key::{Order, SortKey};
/// let newer = SortKey::new().time_micros(2_000, Order::Desc).text("a", Order::Asc).finish();
/// let older = SortKey::new().time_micros(1_000, Order::Desc).text("b", Order::Asc).finish();
/// assert!(newer < older);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SortKey {
    bytes: Vec<u8>,
}

impl SortKey {
    /// An empty key; as a scan prefix it covers the whole partition.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(32) }
    }

    /// Appends a text of any length; its encoding ends by itself, so fields behind it are compared only on equality.
    pub fn text(self, value: &str, order: Order) -> Self {
        self.bytes(value.as_bytes(), order)
    }

    /// Appends a byte string of any length, like [`text`](SortKey::text).
    pub fn bytes(self, value: &[u8], order: Order) -> Self {
        self.write(order, |out| {
            escape_into(out, value);
            out.extend_from_slice(&[ESCAPE, TERMINATOR]);
        })
    }

    /// Appends the beginning of a text without its end: the result is a scan prefix that matches every text starting
    /// with `start`. Nothing may be appended behind it.
    pub fn text_starting_with(self, start: &str, order: Order) -> Vec<u8> {
        self.write(order, |out| escape_into(out, start.as_bytes())).finish()
    }

    /// Appends an unsigned number.
    pub fn u64(self, value: u64, order: Order) -> Self {
        self.write(order, |out| out.extend_from_slice(&value.to_be_bytes()))
    }

    /// Appends a signed number.
    pub fn i64(self, value: i64, order: Order) -> Self {
        self.u64((value as u64) ^ SIGN, order)
    }

    /// Appends a moment, in microseconds since 1970-01-01 UTC (may be negative).
    pub fn time_micros(self, value: i64, order: Order) -> Self {
        self.i64(value, order)
    }

    /// Appends a boolean; `false` is the smaller one.
    pub fn bool(self, value: bool, order: Order) -> Self {
        self.write(order, |out| out.push(u8::from(value)))
    }

    /// Appends an id of 16 bytes, such as a UUID; UUIDv7 orders by time of creation.
    pub fn id(self, value: [u8; 16], order: Order) -> Self {
        self.write(order, |out| out.extend_from_slice(&value))
    }

    /// The encoded key; also a scan prefix for everything that begins with these fields.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn write(mut self, order: Order, put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let start = self.bytes.len();
        put(&mut self.bytes);
        if order == Order::Desc {
            self.bytes[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        self
    }
}

fn escape_into(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        out.push(byte);
        if byte == ESCAPE {
            out.push(ESCAPED_ZERO);
        }
    }
}

/// Why a sort key could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SortKeyError {
    /// The key ends inside a field.
    #[error("sort key ends inside a {0} field; it was written with other fields than it is read with")]
    Truncated(&'static str),
    /// A byte that no writer produces at this place.
    #[error("sort key has an impossible byte in a {0} field; it was written with other fields than it is read with")]
    Malformed(&'static str),
    /// Bytes remain behind the last field.
    #[error("sort key has {0} bytes behind its last field; it was written with more fields than it is read with")]
    Trailing(usize),
}

/// Reads the fields of a key back, with the same types and orders as they were written.
#[derive(Debug, Clone)]
pub struct SortKeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> SortKeyReader<'a> {
    /// Starts at the first field of `key`.
    pub fn new(key: &'a [u8]) -> Self {
        Self { rest: key }
    }

    /// Reads a text field.
    pub fn text(&mut self, order: Order) -> Result<String, SortKeyError> {
        String::from_utf8(self.variable("text", order)?).map_err(|_| SortKeyError::Malformed("text"))
    }

    /// Reads a byte string field.
    pub fn bytes(&mut self, order: Order) -> Result<Vec<u8>, SortKeyError> {
        self.variable("bytes", order)
    }

    /// Reads an unsigned number.
    pub fn u64(&mut self, order: Order) -> Result<u64, SortKeyError> {
        Ok(u64::from_be_bytes(self.fixed("number", order)?))
    }

    /// Reads a signed number.
    pub fn i64(&mut self, order: Order) -> Result<i64, SortKeyError> {
        Ok((self.u64(order)? ^ SIGN) as i64)
    }

    /// Reads a moment in microseconds since 1970-01-01 UTC.
    pub fn time_micros(&mut self, order: Order) -> Result<i64, SortKeyError> {
        self.i64(order)
    }

    /// Reads a boolean.
    pub fn bool(&mut self, order: Order) -> Result<bool, SortKeyError> {
        match self.fixed::<1>("bool", order)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(SortKeyError::Malformed("bool")),
        }
    }

    /// Reads an id of 16 bytes.
    pub fn id(&mut self, order: Order) -> Result<[u8; 16], SortKeyError> {
        self.fixed("id", order)
    }

    /// Checks that every field was read.
    pub fn finish(self) -> Result<(), SortKeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(SortKeyError::Trailing(self.rest.len())) }
    }

    fn fixed<const N: usize>(&mut self, field: &'static str, order: Order) -> Result<[u8; N], SortKeyError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(SortKeyError::Truncated(field))?;
        self.rest = rest;
        Ok(if order == Order::Desc { head.map(|byte| !byte) } else { *head })
    }

    fn variable(&mut self, field: &'static str, order: Order) -> Result<Vec<u8>, SortKeyError> {
        let mut out = Vec::new();
        loop {
            let [byte] = self.fixed::<1>(field, order)?;
            if byte != ESCAPE {
                out.push(byte);
                continue;
            }
            match self.fixed::<1>(field, order)? {
                [ESCAPED_ZERO] => out.push(ESCAPE),
                [TERMINATOR] => return Ok(out),
                _ => return Err(SortKeyError::Malformed(field)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    type Tuple = (Vec<u8>, u64, i64, bool, String);

    /// Short byte strings over few bytes, so that prefixes, equal fields and zero bytes are common.
    fn tuples() -> impl Strategy<Value = Tuple> {
        let byte = prop_oneof![Just(0x00u8), Just(0x01), Just(0xff), Just(0xfe), any::<u8>()];
        let number = prop_oneof![Just(0u64), Just(u64::MAX), 0u64..3, any::<u64>()];
        let signed = prop_oneof![Just(i64::MIN), Just(i64::MAX), -2i64..3, any::<i64>()];
        (proptest::collection::vec(byte, 0..4), number, signed, any::<bool>(), "[\u{0}ab\u{ff}\u{10ffff}]{0,3}")
    }

    fn encode(t: &Tuple, o: [Order; 5]) -> Vec<u8> {
        SortKey::new().bytes(&t.0, o[0]).u64(t.1, o[1]).i64(t.2, o[2]).bool(t.3, o[3]).text(&t.4, o[4]).finish()
    }

    fn compare(a: &Tuple, b: &Tuple, o: [Order; 5]) -> Ordering {
        let directed = |ordering: Ordering, order| if order == Order::Desc { ordering.reverse() } else { ordering };
        directed(a.0.cmp(&b.0), o[0])
            .then(directed(a.1.cmp(&b.1), o[1]))
            .then(directed(a.2.cmp(&b.2), o[2]))
            .then(directed(a.3.cmp(&b.3), o[3]))
            .then(directed(a.4.cmp(&b.4), o[4]))
    }

    fn orders() -> impl Strategy<Value = [Order; 5]> {
        proptest::array::uniform5(any::<bool>().prop_map(|desc| if desc { Order::Desc } else { Order::Asc }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn byte_order_equals_tuple_order(a in tuples(), b in tuples(), o in orders()) {
            prop_assert_eq!(encode(&a, o).cmp(&encode(&b, o)), compare(&a, &b, o));
        }

        #[test]
        fn fields_read_back(t in tuples(), o in orders()) {
            let key = encode(&t, o);
            let mut reader = SortKeyReader::new(&key);
            prop_assert_eq!(reader.bytes(o[0]), Ok(t.0));
            prop_assert_eq!(reader.u64(o[1]), Ok(t.1));
            prop_assert_eq!(reader.i64(o[2]), Ok(t.2));
            prop_assert_eq!(reader.bool(o[3]), Ok(t.3));
            prop_assert_eq!(reader.text(o[4]), Ok(t.4));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(key in proptest::collection::vec(any::<u8>(), 0..40), o in orders()) {
            let mut reader = SortKeyReader::new(&key);
            let _ = reader.text(o[0]).and_then(|_| reader.bool(o[1])).and_then(|_| reader.id(o[2]));
            let _ = reader.finish();
        }

        #[test]
        fn a_text_prefix_matches_exactly_the_texts_that_start_with_it(
            text in "[\u{0}ab]{0,4}", start in "[\u{0}ab]{0,3}", desc in any::<bool>(),
        ) {
            let order = if desc { Order::Desc } else { Order::Asc };
            let key = SortKey::new().u64(7, Order::Asc).text(&text, order).u64(9, Order::Asc).finish();
            let prefix = SortKey::new().u64(7, Order::Asc).text_starting_with(&start, order);
            prop_assert_eq!(key.starts_with(&prefix), text.starts_with(&start));
        }
    }

    #[test]
    fn wrong_reads_are_errors() {
        let key = SortKey::new().u64(5, Order::Asc).finish();
        assert_eq!(SortKeyReader::new(&key[..4]).u64(Order::Asc), Err(SortKeyError::Truncated("number")));
        assert_eq!(SortKeyReader::new(&[0, 7]).text(Order::Asc), Err(SortKeyError::Malformed("text")));
        assert_eq!(SortKeyReader::new(&[9]).bool(Order::Asc), Err(SortKeyError::Malformed("bool")));
        assert_eq!(SortKeyReader::new(&key).finish(), Err(SortKeyError::Trailing(8)));
    }
}

//! Decodes messages: bytes of another process, which may be anything.
//!
//! Invariant: whatever the bytes, decoding ends, overflows no stack and takes no longer than bytes and type
//! account for. Postcard alone sees to neither for a type that nests itself, nor for a list of what takes no bytes,
//! so this stands between it and serde.

use std::{cell::Cell, fmt};

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// How deeply lists, structs, enums and the like may stand in each other. A level takes a kilobyte of stack in
/// a build without optimization, and a thread of tokio's has two megabytes.
const DEPTH_MAX: usize = 512;

/// How many elements that take no bytes, such as those of a `Vec<()>`, a message may have.
const EMPTY_ELEMENTS_MAX: usize = 65_536;

const TOO_DEEP: &str = "it is nested more than 512 levels deep, which no message may be";
const TOO_MANY: &str = "it has more than 65536 elements that take no bytes";

/// The value in `bytes`, all of them.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut postcard = postcard::Deserializer::from_bytes(bytes);
    // An element that takes bytes has a first one, which is that of no other element.
    let elements = Cell::new(bytes.len() + EMPTY_ELEMENTS_MAX);
    let exceeded = Cell::new(None);
    let limits = Limits { elements: &elements, exceeded: &exceeded, depth: DEPTH_MAX };
    let value = T::deserialize(Guarded { inner: &mut postcard, limits })
        .map_err(|error| exceeded.take().map_or_else(|| error.to_string(), str::to_owned))?;
    match postcard.finalize() {
        Ok([]) => Ok(value),
        Ok(rest) => Err(format!("{} bytes too many", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// What is left of the bounds.
#[derive(Clone, Copy)]
struct Limits<'a> {
    depth: usize,
    elements: &'a Cell<usize>,
    /// Which one was exceeded: postcard's errors carry no text.
    exceeded: &'a Cell<Option<&'static str>>,
}

impl Limits<'_> {
    fn deeper<E: Error>(mut self) -> Result<Self, E> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(self.exceed(TOO_DEEP));
        };
        self.depth = depth;
        Ok(self)
    }

    fn one_element<E: Error>(self) -> Result<(), E> {
        let Some(elements) = self.elements.get().checked_sub(1) else {
            return Err(self.exceed(TOO_MANY));
        };
        self.elements.set(elements);
        Ok(())
    }

    fn exceed<E: Error>(self, what: &'static str) -> E {
        self.exceeded.set(Some(what));
        E::custom(what)
    }
}

/// A part of serde's conversation with postcard, within the limits.
struct Guarded<'a, T> {
    inner: T,
    limits: Limits<'a>,
}

impl<'a, T> Guarded<'a, T> {
    fn around<U>(&self, inner: U) -> Guarded<'a, U> {
        Guarded { inner, limits: self.limits }
    }
}

/// What nests nothing goes to postcard as it is; what does, one level deeper.
macro_rules! forward {
    ($($leaf:ident)+; $($nesting:ident($($name:ident: $ty:ty),*))+) => {
        $(fn $leaf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$leaf(visitor)
        })+
        $(fn $nesting<V: Visitor<'de>>(
            self,
            $($name: $ty,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            let limits = self.limits.deeper()?;
            self.inner.$nesting($($name,)* Guarded { inner: visitor, limits })
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guarded<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
        deserialize_ignored_any;
        deserialize_option()
        deserialize_seq()
        deserialize_map()
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Of what nests; postcard visits nothing else of it.
impl<'de, V: Visitor<'de>> Visitor<'de> for Guarded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.around(inner);
        self.inner.visit_seq(inner)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.around(inner);
        self.inner.visit_map(inner)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.around(inner);
        self.inner.visit_enum(inner)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guarded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.limits.one_element()?;
        let seed = self.around(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.limits.one_element()?;
        let seed = self.around(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'a, A: EnumAccess<'de>> EnumAccess<'de> for Guarded<'a, A> {
    type Error = A::Error;
    type Variant = Guarded<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        // A variant's number nests nothing.
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Guarded { inner: variant, limits: self.limits }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::message::specimen::{Chain, Tree};

    #[test]
    fn what_is_nested_too_deeply_is_an_error_and_not_the_end_of_the_process() {
        let deeper = |levels| [vec![4_u8; levels], vec![0]].concat();
        assert!(decode::<Tree>(&deeper(DEPTH_MAX - 1)).is_ok());
        for levels in [DEPTH_MAX, 1_000_000] {
            let error = decode::<Tree>(&deeper(levels)).expect_err("too deep");
            assert_eq!(error, TOO_DEEP);
        }
        assert!(decode::<Chain<()>>(&[1; 1_000_000]).is_err());
    }

    #[test]
    fn elements_that_take_no_bytes_are_counted() {
        assert_eq!(decode::<Vec<()>>(&[3]), Ok(vec![(); 3]));
        let endless = [&[0xff; 9][..], &[1]].concat();
        let error = decode::<Vec<()>>(&endless).expect_err("too many");
        assert_eq!(error, TOO_MANY);
        assert!(decode::<BTreeMap<(), ()>>(&endless).is_err());
        let full = postcard::to_stdvec(&vec![7_u8; 1_000_000]).expect("it can be encoded");
        assert_eq!(decode::<Vec<u8>>(&full).map(|all| all.len()), Ok(1_000_000));
    }

    #[test]
    fn the_texts_tell_the_bounds() {
        assert!(TOO_DEEP.contains(&DEPTH_MAX.to_string()));
        assert!(TOO_MANY.contains(&EMPTY_ELEMENTS_MAX.to_string()));
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        assert_eq!(decode::<u8>(&[1, 2]), Err("1 bytes too many".to_owned()));
    }
}

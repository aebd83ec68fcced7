//! What members a type has, as its own reader says: so that no list of them is kept beside it.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::IntoDeserializer;
use serde::de::VariantAccess;
use serde::de::Visitor;
use serde::de::value::Error;

use crate::fault::FaultSpec;

/// The names of all faults.
pub(super) fn faults() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // It reads nothing, so there is no value.
    let _ = FaultSpec::deserialize(Asked { variant: None, names: &mut names, lifetime: PhantomData });
    names
}

/// The names of a fault's settings; none of what is no fault.
pub(super) fn fields(fault: &str) -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    let _ = FaultSpec::deserialize(Asked { variant: Some(fault), names: &mut names, lifetime: PhantomData });
    names
}

/// Is asked for members, and takes down which.
struct Asked<'a, 'de> {
    variant: Option<&'a str>,
    names: &'a mut &'static [&'static str],
    lifetime: PhantomData<&'de ()>,
}

impl<'de> Deserializer<'de> for Asked<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.names = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.variant.is_some() {
            return visitor.visit_enum(self);
        }
        *self.names = variants;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Asked<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: serde::de::value::StrDeserializer<'_, Error> = self.variant.unwrap_or_default().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Asked<'_, 'de> {
    type Error = Error;

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::custom("there is nothing to read"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}

//! Reads a message's parameters: known, in scope, ascending, not repeated, in range.

use super::kind as k;
use super::range_filter::Collector;
use super::{AuthorizationToken, FillParameters, GroupOrder, LocationFilter, Parameters, scope};
use crate::Draft;
use crate::control::MessageKind;
use crate::error::WireError;
use crate::limits::MAX_TOKENS;
use crate::reader::Reader;

impl Parameters {
    /// Reads the count and the parameters.
    pub(crate) fn decode(
        message: MessageKind,
        draft: Draft,
        reader: &mut Reader<'_>,
    ) -> Result<Parameters, WireError> {
        let mut params = Parameters::default();
        let mut filters = Collector::default();
        let mut types = Types::new(reader.varint()?);
        while let Some(kind) = types.next(draft, reader)? {
            if !scope::allows(kind, message, draft) {
                return Err(OUT_OF_SCOPE);
            }
            params.read(kind, draft, reader, &mut filters)?;
        }
        params.range_filters = filters.filters;
        params.invalid_filter = params.invalid_filter.or(filters.invalid);
        if message != MessageKind::RequestUpdate {
            params.refuse_removals();
        }
        Ok(params)
    }

    fn read(
        &mut self,
        kind: u64,
        draft: Draft,
        reader: &mut Reader<'_>,
        filters: &mut Collector,
    ) -> Result<(), WireError> {
        match kind {
            k::OBJECT_DELIVERY_TIMEOUT => self.object_delivery_timeout = Some(reader.varint()?),
            k::AUTHORIZATION_TOKEN => self.read_token(reader)?,
            k::RENDEZVOUS_TIMEOUT => self.rendezvous_timeout = Some(reader.varint()?),
            k::SUBGROUP_DELIVERY_TIMEOUT => {
                self.subgroup_delivery_timeout = Some(reader.varint()?);
            }
            k::EXPIRES => self.expires = Some(reader.varint()?),
            k::LARGEST_OBJECT => self.largest_object = Some(reader.location()?),
            k::FILL_TIMEOUT => self.fill_timeout = Some(reader.varint()?),
            k::FORWARD => self.forward = Some(flag(reader)?),
            k::SUBSCRIBER_PRIORITY => self.subscriber_priority = Some(reader.u8()?),
            k::LOCATION_FILTER => {
                self.location_filter = Some(LocationFilter::decode(draft, reader)?);
            }
            k::GROUP_ORDER => self.group_order = Some(group_order(reader)?),
            k::FILL_PARAMETERS => self.read_fill(draft, reader)?,
            k::NEW_GROUP_REQUEST => self.new_group_request = Some(reader.varint()?),
            k::TRACK_NAMESPACE_PREFIX => self.track_namespace_prefix = Some(reader.namespace()?),
            k::INCLUDE_PROPERTIES => self.include_properties = Some(flag(reader)?),
            _ => filters.add(kind, value(reader)?),
        }
        Ok(())
    }

    fn read_token(&mut self, reader: &mut Reader<'_>) -> Result<(), WireError> {
        if self.authorization_tokens.len() == MAX_TOKENS {
            return Err(WireError::over_limit("more than 64 tokens in a message"));
        }
        let token = AuthorizationToken::decode(value(reader)?)?;
        self.authorization_tokens.push(token);
        Ok(())
    }

    fn read_fill(&mut self, draft: Draft, reader: &mut Reader<'_>) -> Result<(), WireError> {
        let (fill, invalid) = FillParameters::decode(draft, value(reader)?)?;
        self.fill = Some(Box::new(fill));
        self.invalid_filter = self.invalid_filter.or(invalid);
        Ok(())
    }

    /// An empty filter removes one, which only an update can do.
    fn refuse_removals(&mut self) {
        let removal = |filter: &super::RangeFilter| filter.ranges.is_empty();
        if let Some(filter) = self.range_filters.iter().find(|filter| removal(filter)) {
            self.invalid_filter.get_or_insert(super::InvalidFilter {
                parameter: filter.subject.parameter(),
                what: "an empty filter outside an update",
            });
        }
        self.range_filters.retain(|filter| !removal(filter));
    }
}

/// Walks the types of a block.
pub(super) struct Types {
    left: u64,
    previous: Option<u64>,
}

impl Types {
    pub(super) fn new(count: u64) -> Types {
        Types {
            left: count,
            previous: None,
        }
    }

    /// The next parameter's type, its value still on `reader`.
    pub(super) fn next(
        &mut self,
        draft: Draft,
        reader: &mut Reader<'_>,
    ) -> Result<Option<u64>, WireError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let delta = reader.varint()?;
        let kind = self
            .previous
            .unwrap_or(0)
            .checked_add(delta)
            .ok_or(WireError::violation("a parameter's type exceeds 64 bits"))?;
        if !scope::is_known(kind, draft) {
            return Err(WireError::violation("an unknown parameter"));
        }
        if self.previous == Some(kind) && !k::repeats(kind) {
            return Err(WireError::violation("a parameter stands twice"));
        }
        self.previous = Some(kind);
        Ok(Some(kind))
    }
}

pub(super) const OUT_OF_SCOPE: WireError =
    WireError::violation("a parameter in a message it may not appear in");

pub(super) fn group_order(reader: &mut Reader<'_>) -> Result<GroupOrder, WireError> {
    GroupOrder::from_code(u64::from(reader.u8()?))
        .ok_or(WireError::violation("a group order is not 1 or 2"))
}

pub(super) fn value<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let len = reader.varint()?;
    reader.slice(len)
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, WireError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::violation("a flag is not 0 or 1")),
    }
}

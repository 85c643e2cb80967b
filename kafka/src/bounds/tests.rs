//! The shapes against the decoder: random answers built from each shape must decode, end where they should, and walk
//! again after the library encoded them; damaged ones must never panic, nor make the decoder ask for absurd memory.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::*;

/// Writes random values of a shape: small arrays, short texts, nulls where allowed, unknown tags now and then.
struct Author {
    random: fastrand::Rng,
    version: i16,
    flexible: bool,
}

impl Author {
    fn structure(&mut self, out: &mut BytesMut, fields: &[Field]) {
        let present: Vec<_> = fields.iter().filter(|field| field.exists_in(self.version)).collect();
        for field in present.iter().filter(|field| field.tag.is_none()) {
            self.value(out, &field.kind);
        }
        if !self.flexible {
            return;
        }
        let mut tagged = Vec::new();
        for field in present {
            if let (Some(tag), true) = (field.tag, self.random.bool()) {
                let mut inner = BytesMut::new();
                self.value(&mut inner, &field.kind);
                tagged.push((tag, inner));
            }
        }
        if self.random.u8(..4) == 0 {
            tagged.push((77, BytesMut::from(&b"from the future"[..])));
        }
        varint(out, tagged.len());
        for (tag, inner) in tagged {
            varint(out, tag as usize);
            varint(out, inner.len());
            out.extend_from_slice(&inner);
        }
    }

    fn value(&mut self, out: &mut BytesMut, kind: &Kind) {
        match *kind {
            // Booleans share a shape with bytes; 0 and 1 are valid for both.
            Kind::Fixed(1) => out.put_u8(self.random.u8(0..2)),
            Kind::Fixed(size) => (0..size).for_each(|_| out.put_u8(self.random.u8(..))),
            Kind::Text => self.text(out, false),
            Kind::TextOrNull => self.text(out, true),
            Kind::BytesOrNull => {
                let length = self.random.usize(0..90);
                let null = self.random.u8(..4) == 0;
                self.length(out, if null { None } else { Some(length) }, 4);
                (0..if null { 0 } else { length }).for_each(|_| out.put_u8(self.random.u8(..)));
            }
            Kind::Numbers(size) => {
                let count = self.random.usize(0..4);
                self.length(out, Some(count), 4);
                (0..count * size).for_each(|_| out.put_u8(self.random.u8(..)));
            }
            Kind::Texts => {
                let count = self.random.usize(0..4);
                self.length(out, Some(count), 4);
                (0..count).for_each(|_| self.text(out, false));
            }
            Kind::List(fields) => self.list(out, fields, false),
            Kind::ListOrNull(fields) => self.list(out, fields, true),
            Kind::Struct(fields) => self.structure(out, fields),
        }
    }

    fn list(&mut self, out: &mut BytesMut, fields: &[Field], nullable: bool) {
        if nullable && self.random.u8(..4) == 0 {
            return self.length(out, None, 4);
        }
        let count = self.random.usize(0..4);
        self.length(out, Some(count), 4);
        (0..count).for_each(|_| self.structure(out, fields));
    }

    fn text(&mut self, out: &mut BytesMut, nullable: bool) {
        if nullable && self.random.u8(..4) == 0 {
            return self.length(out, None, 2);
        }
        let length = self.random.usize(0..12);
        self.length(out, Some(length), 2);
        (0..length).for_each(|_| out.put_u8(self.random.alphabetic() as u8));
    }

    fn length(&mut self, out: &mut BytesMut, length: Option<usize>, width: usize) {
        match (self.flexible, width) {
            (true, _) => varint(out, length.map_or(0, |length| length + 1)),
            (false, 2) => out.put_i16(length.map_or(-1, |length| i16::try_from(length).unwrap())),
            (false, _) => out.put_i32(length.map_or(-1, |length| i32::try_from(length).unwrap())),
        }
    }
}

fn varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn random_answer(api: Api, version: i16, seed: u64) -> Bytes {
    let mut author =
        Author { random: fastrand::Rng::with_seed(seed), version, flexible: api.is_flexible(version) };
    let mut out = BytesMut::new();
    author.structure(&mut out, api.answer());
    out.freeze()
}

/// Decodes with the library; how many bytes were left over, and what the library makes of it when it encodes it again.
type Decoder = fn(Bytes, i16) -> Result<(usize, Option<BytesMut>), String>;

fn decoder<R: Decodable + Encodable>(
    mut body: Bytes,
    version: i16,
) -> Result<(usize, Option<BytesMut>), String> {
    let answer = R::decode(&mut body, version).map_err(|error| error.to_string())?;
    let mut again = BytesMut::new();
    let encoded = answer.encode(&mut again, version).is_ok();
    Ok((body.len(), encoded.then_some(again)))
}

fn decoder_of(api: Api) -> Decoder {
    match api {
        Api::Produce => decoder::<m::ProduceResponse>,
        Api::Fetch => decoder::<m::FetchResponse>,
        Api::AddPartitionsToTxn => decoder::<m::AddPartitionsToTxnResponse>,
        Api::WriteTxnMarkers => decoder::<m::WriteTxnMarkersResponse>,
        Api::DescribeAcls => decoder::<m::DescribeAclsResponse>,
        Api::CreateAcls => decoder::<m::CreateAclsResponse>,
        Api::DeleteAcls => decoder::<m::DeleteAclsResponse>,
        Api::AddOffsetsToTxn => decoder::<m::AddOffsetsToTxnResponse>,
        Api::DescribeLogDirs => decoder::<m::DescribeLogDirsResponse>,
        Api::Heartbeat => decoder::<m::HeartbeatResponse>,
        Api::EndTxn => decoder::<m::EndTxnResponse>,
        Api::ListTransactions => decoder::<m::ListTransactionsResponse>,
        Api::ListOffsets => decoder::<m::ListOffsetsResponse>,
        Api::Metadata => decoder::<m::MetadataResponse>,
        Api::OffsetCommit => decoder::<m::OffsetCommitResponse>,
        Api::OffsetFetch => decoder::<m::OffsetFetchResponse>,
        Api::ListGroups => decoder::<m::ListGroupsResponse>,
        Api::DeleteGroups => decoder::<m::DeleteGroupsResponse>,
        Api::OffsetDelete => decoder::<m::OffsetDeleteResponse>,
        Api::FindCoordinator => decoder::<m::FindCoordinatorResponse>,
        Api::SaslHandshake => decoder::<m::SaslHandshakeResponse>,
        Api::SaslAuthenticate => decoder::<m::SaslAuthenticateResponse>,
        Api::ApiVersions => decoder::<m::ApiVersionsResponse>,
        Api::CreateTopics => decoder::<m::CreateTopicsResponse>,
        Api::DeleteTopics => decoder::<m::DeleteTopicsResponse>,
        Api::DeleteRecords => decoder::<m::DeleteRecordsResponse>,
        Api::InitProducerId => decoder::<m::InitProducerIdResponse>,
        Api::OffsetForLeaderEpoch => decoder::<m::OffsetForLeaderEpochResponse>,
        Api::DescribeConfigs => decoder::<m::DescribeConfigsResponse>,
        Api::CreatePartitions => decoder::<m::CreatePartitionsResponse>,
        Api::IncrementalAlterConfigs => decoder::<m::IncrementalAlterConfigsResponse>,
        Api::DescribeProducers => decoder::<m::DescribeProducersResponse>,
        Api::DescribeTransactions => decoder::<m::DescribeTransactionsResponse>,
    }
}

fn every_version() -> impl Iterator<Item = (Api, i16)> {
    Api::ALL.into_iter().flat_map(|api| (api.ours().min..=api.ours().max).map(move |version| (api, version)))
}

#[test]
fn every_shape_is_what_the_decoder_reads() {
    for (api, version) in every_version() {
        let mut encoded_again = 0;
        for seed in 0..200 {
            let body = random_answer(api, version, seed);
            assert_eq!(walk(api, version, &body), Ok(()), "{api} v{version} seed {seed}");
            let (left, again) = decoder_of(api)(body.clone(), version)
                .unwrap_or_else(|error| panic!("{api} v{version} seed {seed}: {error}"));
            assert_eq!(left, 0, "{api} v{version} seed {seed}: the decoder stopped early");
            if let Some(again) = again {
                encoded_again += 1;
                assert_eq!(walk(api, version, &again), Ok(()), "{api} v{version} seed {seed}, encoded again");
            }
        }
        assert!(encoded_again > 0, "{api} v{version}: the library never encoded an answer");
    }
}

#[test]
fn every_cut_is_noticed() {
    for (api, version) in every_version() {
        let body = random_answer(api, version, 7);
        for length in 0..body.len() {
            assert!(walk(api, version, &body[..length]).is_err(), "{api} v{version} cut at {length}");
        }
        let longer = [&body[..], &[0]].concat();
        assert_eq!(walk(api, version, &longer), Err(Flaw::Trailing { at: body.len() }), "{api} v{version}");
    }
}

#[test]
fn damaged_answers_neither_panic_nor_claim_absurd_memory() {
    let mut random = fastrand::Rng::with_seed(20_260_101);
    for (api, version) in every_version() {
        for seed in 0..300 {
            let mut body = random_answer(api, version, seed).to_vec();
            for _ in 0..random.usize(1..4) {
                if body.is_empty() {
                    break;
                }
                let at = random.usize(0..body.len());
                match random.u8(0..4) {
                    0 => body[at] ^= 1 << random.u8(0..8),
                    1 => body[at] = 0xff,
                    2 => body.truncate(at),
                    _ => body.insert(at, random.u8(..)),
                }
            }
            // Were an absurd length let through, the decoder would abort the process by asking for terabytes.
            if walk(api, version, &body).is_ok() {
                let _ = decoder_of(api)(Bytes::from(body), version);
            }
        }
    }
}

#[test]
fn the_eight_bytes_that_asked_for_200_gigabytes_are_refused() {
    // Produce v3: an array of two thousand million topics in an otherwise empty answer.
    let body = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let claimed = 0x7fff_ffff;
    assert_eq!(walk(Api::Produce, 3, &body), Err(Flaw::Array { at: 4, claimed, remaining: 4 }));
}

#[test]
fn the_number_of_structures_is_bounded() {
    // Five million topics of two bytes of name length, four of an empty array: 30 MB that would decode to 600 MB.
    let count = 5_000_000;
    let mut body = BytesMut::new();
    body.put_i32(count);
    body.resize(4 + count as usize * 6 + 4, 0);
    assert_eq!(walk(Api::Produce, 3, &body), Err(Flaw::TooMany));
}

#[test]
fn a_tagged_field_of_another_size_than_it_says_is_refused() {
    // ApiVersions v3: no APIs, then the features' epoch (tag 1, 8 bytes) announced as 7.
    let body = [0, 0, 1, 0, 0, 0, 0, 1, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(walk(Api::ApiVersions, 3, &body), Err(Flaw::Tag { at: 9 }));
    assert_eq!(tags_length(&[1, 5, 2, 9, 9, 42]), Ok(5));
    assert_eq!(tags_length(&[0xff, 0xff, 0xff, 0xff, 0xff]), Err(Flaw::Number { at: 0 }));
}

//! Floods of tiny batches: while it is behind the mirror writes fewer and larger ones, and changes no record (M17).

use lockstep_testkit::client::{Codec, Record, Seed};
use lockstep_testkit::stored::batches;
use lockstep_testkit::{pair, unique};

use super::{assert_exact, assert_verified};
use crate::mirror::Ends;
use crate::mirror::shapes::now_ms;

const RECORDS: i64 = 20_000;

fn assert_merged(codec: Codec) {
    let ends = Ends::shared();
    let topic = unique(&format!("exact-tiny-{}", codec.name()));
    ends.create(&topic, 1, &[]);
    let at = now_ms();
    let records = (0..RECORDS).map(|n| {
        let record = Record::new(format!("{n:0100}")).at(at - n % 700);
        if n % 3 == 0 { record } else { record.key(n.to_string()).header("n", n.to_string()) }
    });
    Seed::to(&ends.from).codec(codec).batch_records(1).write(&topic, records).unwrap();
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, RECORDS.unsigned_abs());
    assert_verified(&ends, &topic);
    let on =
        |kafka: &lockstep_testkit::Kafka| batches(&kafka.log_folder(1, &topic, 0).unwrap()).unwrap().len();
    let (source, dest) = (on(&pair().source), on(&pair().destination));
    eprintln!("{}: {source} batches on the source, {dest} on the mirror", codec.name());
    assert!(
        source as i64 == RECORDS && dest * 10 < source,
        "{source} batches on the source, {dest} on the mirror"
    );
}

#[test]
fn plain_batches_of_one_record_are_merged() {
    assert_merged(Codec::None);
}

#[test]
fn compressed_batches_of_one_record_are_merged() {
    assert_merged(Codec::Lz4);
    assert_merged(Codec::Zstd);
}

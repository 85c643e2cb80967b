//! The proxy lets everything pass, counts it, cuts connections and damages exactly one bit where it is told to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_testkit::client::{Admin, Isolation, Reader, Record, Seed, read_all};
use lockstep_testkit::{Kafka, wait_until_true};

#[test]
fn clients_stay_on_the_proxy_and_feel_what_it_does() {
    let kafka = Kafka::builder("proxied").proxied().start().unwrap();
    let (direct, through) = (kafka.bootstrap(), kafka.proxied_bootstrap().unwrap());
    let proxy = kafka.proxy(1).unwrap();
    Admin::of(&direct).unwrap().create("t", 1, &[]).unwrap();
    assert_eq!(proxy.bytes_to_server(), 0, "who dials the broker does not pass the proxy");

    let value = vec![b'x'; 10_000];
    Seed::to(&through).batch_records(1).write("t", (0..100).map(|_| Record::new(&value))).unwrap();
    assert!(proxy.bytes_to_server() > 1_000_000, "the broker advertises the proxy: data passes it");
    let read = |bootstrap: &str| read_all(bootstrap, "t", 0, 0..100, Isolation::ReadCommitted);
    assert_eq!(read(&through).unwrap(), read(&direct).unwrap());
    assert!(proxy.bytes_to_client() > 1_000_000);

    // One bit in the third batch: the client's checksum sees it; without the proxy nothing is wrong.
    let flipped = proxy.flip_bit_in_fetched_batch(3);
    let refused = read(&through).unwrap_err().to_string();
    assert!(refused.contains("BadMessage"), "{refused}");
    assert_eq!(flipped.load(Ordering::Acquire), 1);
    assert_eq!(read(&direct).unwrap().len(), 100);
    proxy.clear();
    assert_eq!(read(&through).unwrap().len(), 100);

    // A cut connection is a new connection to the client, and no record is missing.
    let mut reader = Reader::open(&through, "t", 0, 0..101, Isolation::ReadCommitted).unwrap();
    assert!(reader.next_record().unwrap().is_some());
    wait_until_true("connections", Duration::from_secs(5), || proxy.connections() > 0);
    let before = proxy.accepted();
    proxy.reset_all();
    wait_until_true("the client's return", Duration::from_secs(10), || proxy.accepted() > before);
    let mut rest = 0;
    while reader.next_record().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 99);
}

use proptest::prelude::*;

use super::host::{Host, VENDOR_CERTIFICATE, VENDOR_KEY, VENDOR_PUBLIC_KEY, VENDOR_SERIAL, now};
use super::*;

fn body_of(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

#[test]
fn keys_are_read_from_every_form_the_vendors_hand_out() {
    let key = PrivateKey::parse(VENDOR_KEY).unwrap();
    for text in [body_of(VENDOR_KEY), VENDOR_KEY.replace('\n', "\r\n"), format!("\n{VENDOR_KEY}x")]
    {
        assert!(PrivateKey::parse(&text).unwrap() == key);
    }
    let key = PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap();
    for text in [body_of(VENDOR_PUBLIC_KEY), VENDOR_CERTIFICATE.to_owned()] {
        assert!(PublicKey::parse(&text).unwrap() == key);
    }
    let certificate = Certificate::parse(VENDOR_CERTIFICATE).unwrap();
    assert_eq!(certificate.serial, VENDOR_SERIAL);
    assert!(certificate.key == key);
    let chain = format!("{VENDOR_CERTIFICATE}\n{}", VENDOR_CERTIFICATE.replace("MI", "XX"));
    assert!(PublicKey::parse(&chain).unwrap() == key);
}

#[test]
fn what_is_no_key_is_refused_without_being_quoted() {
    let certificate_as_key = VENDOR_CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY");
    let pkcs1 = VENDOR_KEY.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let headless = VENDOR_KEY.replace("-----END PRIVATE KEY-----", "");
    let cases = [
        ("", "it holds no RSA key in PKCS#8"),
        ("hush", "it holds no RSA key in PKCS#8"),
        ("hush!", "it is not base64"),
        (VENDOR_PUBLIC_KEY, "it has not the label PRIVATE KEY"),
        (&body_of(VENDOR_PUBLIC_KEY), "it holds no RSA key in PKCS#8"),
        (&certificate_as_key, "it holds no RSA key in PKCS#8"),
        (&pkcs1, "it is PKCS#1; convert it to PKCS#8"),
        (&headless, "its PEM has a beginning but no end"),
        (&"A".repeat(MAX_KEY_BYTES + 1), "it is too long"),
    ];
    for (text, reason) in cases {
        assert_eq!(PrivateKey::parse(text), Err(InvalidKey(reason)), "{text}");
    }
    // RFC 8410's example of an Ed25519 key.
    let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    // `openssl genrsa 1024`, its public half.
    let short = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDOjYVSPkMHrbAnHe/R2+k8bvXzqjex1ASSszKt\
                 cQAcSYEudvou6duCoJI4aOiQ/W66tzPZ2xV1xxHgyWYumQ/LqZNVhrxsgJs4JxwFvQLEYWREQKld\
                 sSJcldPH+oPsG2bF2j5YWYSOmt1k7K3BN9NEszbeI1wkMt+9uQaG+MgtKwIDAQAB";
    for text in [ed25519, short, VENDOR_KEY, &body_of(VENDOR_KEY), ""] {
        assert!(PublicKey::parse(text).is_err(), "{text}");
    }
    for length in [0, 16, 31, 33, 64] {
        assert!(AeadKey::new(&vec![b'k'; length]).is_err(), "{length}");
    }
}

#[test]
fn a_key_file_cut_or_followed_by_something_is_no_key() {
    let spki = PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap().spki;
    let pkcs8 = PrivateKey::parse(VENDOR_KEY).unwrap().pkcs8;
    for length in 0..spki.len() {
        assert!(!der::is_rsa_public_key(&spki[..length]));
    }
    for length in 0..pkcs8.len() {
        assert!(!der::is_rsa_private_key(&pkcs8[..length]));
    }
    assert!(!der::is_rsa_public_key(&[&spki[..], &[0]].concat()));
    assert!(!der::is_rsa_private_key(&[&pkcs8[..], &[0]].concat()));
    let certificate = STANDARD.decode(body_of(VENDOR_CERTIFICATE)).unwrap();
    assert!(der::certificate(&certificate).is_some());
    for length in 0..certificate.len() {
        assert!(der::certificate(&certificate[..length]).is_none());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(at in 0_usize..1000, byte in any::<u8>(), junk in any::<Vec<u8>>()) {
        let mut certificate = STANDARD.decode(body_of(VENDOR_CERTIFICATE)).unwrap();
        let at = at % certificate.len();
        certificate[at] = byte;
        let _ = Certificate::from_der(&certificate);
        let _ = Certificate::from_der(&junk);
        let _ = der::is_rsa_private_key(&junk);
    }
}

#[test]
fn a_key_has_one_id_and_shows_nothing() {
    let private = PrivateKey::parse(VENDOR_KEY).unwrap();
    let public = PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap();
    assert!(public.id() == PublicKey::parse(VENDOR_CERTIFICATE).unwrap().id());
    assert!(private.id() != public.id());
    let (one, two) = (AeadKey::new(&[1; 32]).unwrap(), AeadKey::new(&[2; 32]).unwrap());
    assert!(one.id() != two.id());
    assert_eq!(
        format!("{private:?} {public:?} {one:?} {:?}", one.id()),
        "PrivateKey PublicKey AeadKey KeyId"
    );
}

#[test]
fn what_is_not_base64_is_no_signature() {
    let key = PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap();
    let good = host::vendor_sign(b"message");
    let cases = [
        (good.clone(), true),
        (String::new(), false),
        ("WECHATPAY/SIGNTEST/H1GSWVTFb4rR".to_owned(), false),
        (good.trim_end_matches('=').to_owned(), false),
        (format!("{good}\n"), false),
        (good.replace('+', "-").replace('/', "_"), false),
        (format!("{good}AAAA"), false),
        ("AAAA".to_owned(), false),
        ("准点".to_owned(), false),
    ];
    for (signature, verifies) in cases {
        let result = now(verify_base64(&Host, &key, b"message", &signature));
        assert_eq!(result, Ok(verifies), "{signature}");
    }
    assert_eq!(now(verify_base64(&Host, &key, b"massage", &good)), Ok(false));
}

#[test]
fn the_published_example_of_a_seal_opens() {
    let vector = &host::vectors()["aes_256_gcm"];
    let text = |name: &str| vector[name].as_str().unwrap();
    let key = AeadKey::new(text("key").as_bytes()).unwrap();
    let nonce = text("nonce").as_bytes().try_into().unwrap();
    let sealed = STANDARD.decode(text("ciphertext_b64")).unwrap();
    let open =
        |aad: &str, sealed: &[u8]| now(Host.open(&key, nonce, aad.as_bytes(), sealed)).unwrap();
    assert_eq!(open(text("aad"), &sealed).unwrap(), text("plaintext").as_bytes());
    assert_eq!(open("", &sealed), None);
    assert_eq!(open(text("aad"), &sealed[..15]), None);
    assert_eq!(host::seal(&key, nonce, text("aad").as_bytes(), b"message"), text("ciphertext_b64"));
}

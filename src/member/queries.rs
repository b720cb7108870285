//! Statements of the member slice.

use zhundian_providers::phone::Phone;
use zhundian_providers::wechat::{AccessToken, Session};

use crate::d1::{Statement, precondition};
use crate::http::fields::Id;
use crate::member::me::Change;
use crate::sql;

/// A [`crate::member::Profile`] out of a row of `member`.
macro_rules! profile {
    () => {
        "json_object('id', id, 'nickname', nickname, 'avatar', avatar, 'gender', gender,
            'birthday', birthday, 'phone', phone)"
    };
}

/// A member and their token version.
macro_rules! signed_in {
    () => {
        concat!("json_object('token_version', token_version, 'member', ", profile!(), ") AS json")
    };
}

/// The member with this openid, made if there is none: one statement, so that any number of sign-ins at
/// once make one member.
pub fn by_openid(id: &Id, session: &Session, now: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO member (id, openid, unionid, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (openid) WHERE openid IS NOT NULL
             DO UPDATE SET unionid = coalesce(excluded.unionid, unionid)
             RETURNING ",
            signed_in!()
        ),
        id,
        session.openid.as_str(),
        session.unionid.as_deref(),
        now
    )
}

/// The member with this phone, made if there is none.
pub fn by_phone(id: &Id, phone: &Phone, now: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO member (id, phone, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (phone) WHERE phone IS NOT NULL DO UPDATE SET phone = phone
             RETURNING ",
            signed_in!()
        ),
        id,
        phone.as_str(),
        now
    )
}

/// Makes every token of a member void.
pub fn sign_out(id: &Id) -> Statement {
    sql!("UPDATE member SET token_version = token_version + 1 WHERE id = ?1", id)
}

/// A member's profile.
pub fn read(id: &Id) -> Statement {
    sql!(concat!("SELECT ", profile!(), " AS json FROM member WHERE id = ?1"), id)
}

/// Changes what is said and answers the profile.
pub fn change(id: &Id, change: &Change, now: i64) -> Statement {
    sql!(
        concat!(
            "UPDATE member SET
               nickname = CASE WHEN ?3 THEN coalesce(?4, '') ELSE nickname END,
               avatar = CASE WHEN ?5 THEN NULL ELSE avatar END,
               gender = CASE WHEN ?6 THEN ?7 ELSE gender END,
               birthday = CASE WHEN ?8 THEN ?9 ELSE birthday END,
               updated_at = ?2
             WHERE id = ?1
             RETURNING ",
            profile!(),
            " AS json"
        ),
        id,
        now,
        change.nickname.is_some(),
        change.nickname.as_ref().and_then(Option::as_ref),
        change.avatar,
        change.gender.is_some(),
        change.gender.flatten().map(crate::member::Gender::as_str),
        change.birthday.is_some(),
        change.birthday.flatten().map(|birthday| birthday.0),
    )
}

/// Puts an avatar and answers the profile.
pub fn put_avatar(id: &Id, photo: &Id, now: i64) -> Statement {
    sql!(
        concat!(
            "UPDATE member SET avatar = ?2, updated_at = ?3 WHERE id = ?1 RETURNING ",
            profile!(),
            " AS json"
        ),
        id,
        photo,
        now
    )
}

/// Gives a phone to a member, in one batch. A row that has this phone and no openid is the same person:
/// its orders and what only it knows go to the member, and it is no member of its own any more. A row
/// that has an openid keeps its phone: the unique index `member_phone` stops the batch.
pub fn take_phone(id: &Id, phone: &Phone, now: i64) -> Vec<Statement> {
    let phone = phone.as_str();
    vec![
        // Another request may have merged the member itself meanwhile.
        precondition(
            "member_phone",
            "EXISTS (SELECT 1 FROM member WHERE id = ?1 AND status = 'active')",
            vec![id.into()],
        ),
        sql!(
            "UPDATE orders SET member_id = ?1 WHERE member_id =
               (SELECT id FROM member WHERE phone = ?2 AND openid IS NULL AND id <> ?1)",
            id,
            phone
        ),
        sql!(
            "UPDATE member SET
               nickname = iif(member.nickname = '', other.nickname, member.nickname),
               avatar = coalesce(member.avatar, other.avatar),
               gender = coalesce(member.gender, other.gender),
               birthday = coalesce(member.birthday, other.birthday),
               no_shows = member.no_shows + other.no_shows
             FROM (SELECT nickname, avatar, gender, birthday, no_shows FROM member
                   WHERE phone = ?2 AND openid IS NULL AND id <> ?1) AS other
             WHERE member.id = ?1",
            id,
            phone
        ),
        sql!(
            "UPDATE OR IGNORE member_preference SET member_id = ?1 WHERE member_id =
               (SELECT id FROM member WHERE phone = ?2 AND openid IS NULL AND id <> ?1)",
            id,
            phone
        ),
        sql!(
            "UPDATE member SET status = 'merged', merged_into = ?1, phone = NULL,
               token_version = token_version + 1, updated_at = ?3
             WHERE phone = ?2 AND openid IS NULL AND id <> ?1",
            id,
            phone,
            now
        ),
        sql!("UPDATE member SET phone = ?2, updated_at = ?3 WHERE id = ?1", id, phone, now),
    ]
}

/// WeChat's access token, and when it ends.
pub fn access_token() -> Statement {
    sql!(
        "SELECT json_object('token', token, 'expires_at', expires_at) AS json
         FROM provider_token WHERE provider = 'wechat'"
    )
}

/// Keeps an access token, unless one that lives longer is there. `stale` is one that WeChat takes no
/// more, whatever its end said.
pub fn keep_access_token(token: &AccessToken, now: i64, stale: Option<&str>) -> Statement {
    sql!(
        "INSERT INTO provider_token (provider, token, expires_at) VALUES ('wechat', ?1, ?2)
         ON CONFLICT (provider) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
         WHERE excluded.expires_at >= expires_at OR token = ?3",
        token.token.as_str(),
        now + i64::from(token.expires_in_seconds) * 1000,
        stale
    )
}

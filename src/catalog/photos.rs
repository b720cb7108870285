//! Photos: their bytes in R2 under their id, a row in D1 for each.
//!
//! A photo never changes, so it may be cached for good. The row is written before the bytes and deleted
//! before them: bytes without a row could never be found again.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use worker::send::SendFuture;
use worker::{Bucket, HttpMetadata};

use super::queries;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{self, PathId};
use crate::http::fields::Id;
use crate::http::respond::Created;

/// The paths, without their first slash, whose bodies may be photos.
pub const UPLOAD_PATHS: &[&str] =
    &["api/v1/admin/photos", "api/v1/staff/photos", "api/v1/me/avatar"];
/// Bytes in the largest photo.
pub const MAX_PHOTO_BYTES: usize = 5 * 1024 * 1024;
/// The R2 binding.
const BINDING: &str = "PHOTOS";
/// How long a photo may wait for a row that points to it.
const UNUSED_MS: i64 = 24 * 3_600_000;
/// Photos removed in one run.
const MAX_COLLECTED: i64 = 200;

/// The bytes of a JPEG, PNG or WebP file, at most 5 MiB.
pub struct PhotoBytes;

impl PartialSchema for PhotoBytes {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        RefOr::T(Schema::Object(object.build()))
    }
}

impl ToSchema for PhotoBytes {
    fn name() -> std::borrow::Cow<'static, str> {
        "PhotoBytes".into()
    }
}

/// A photo that was stored.
#[derive(Serialize, ToSchema)]
pub struct Photo {
    /// Its id.
    pub id: Id,
    /// As its bytes say.
    pub content_type: &'static str,
    /// How many.
    pub bytes: u32,
}

/// The type that the bytes themselves speak of: a signature, and a first header with a size in it.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    let part = |from: usize, to: usize| bytes.get(from..to);
    let nonzero = |from: usize, to: usize| {
        part(from, to).is_some_and(|size| size.iter().any(|byte| *byte != 0))
    };
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        // The first chunk is IHDR, 13 bytes long: width, height, …
        let header = part(8, 16) == Some(b"\0\0\0\x0dIHDR") && nonzero(16, 20) && nonzero(20, 24);
        return header.then_some("image/png");
    }
    if part(0, 4) == Some(b"RIFF") && part(8, 12) == Some(b"WEBP") {
        let kind = matches!(part(12, 16), Some(b"VP8 " | b"VP8L" | b"VP8X"));
        let said = part(4, 8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes)?;
        let fits = u64::from(said) + 8 <= bytes.len() as u64;
        return (kind && fits && bytes.len() >= 30).then_some("image/webp");
    }
    (bytes.starts_with(b"\xff\xd8\xff") && has_frame(bytes)).then_some("image/jpeg")
}

/// Whether a JPEG's segments lead to a frame header with a size.
fn has_frame(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let (Some(0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        match marker {
            // Fill bytes.
            0xff => at += 1,
            // A frame header, but for DHT, JPG and DAC: length, precision, height, width, components.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                // A height of 0 is told later, by DNL.
                let width = bytes.get(at + 7..at + 9);
                return width.is_some_and(|width| width.iter().any(|byte| *byte != 0));
            }
            0xc4 | 0xc8 | 0xcc | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {
                let Some(length) = bytes.get(at + 2..at + 4) else { return false };
                let length = length.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
                if length < 2 {
                    return false;
                }
                at += 2 + length;
            }
            _ => return false,
        }
    }
}

fn bucket(ctx: &Ctx) -> Answer<Bucket> {
    ctx.env().bucket(BINDING).map_err(Problem::unavailable)
}

/// Stores a photo; it is removed again unless a row points to it within a day.
///
/// # Errors
/// 422 `not_a_photo`, 413 `body_too_large`, 503.
pub async fn store(ctx: &Ctx, bytes: Vec<u8>) -> Answer<Id> {
    if bytes.len() > MAX_PHOTO_BYTES {
        return Err(Problem::from(Code::BodyTooLarge).with(MAX_PHOTO_BYTES));
    }
    let content_type = sniff(&bytes).ok_or(Code::NotAPhoto)?;
    let id = ctx.new_id()?;
    let row = queries::add_photo(&id, content_type, bytes.len() as i64, ctx.now);
    ctx.db()?.batch(vec![row]).await?;
    let bucket = bucket(ctx)?;
    let key = id.to_string();
    let put = SendFuture::new(async move {
        let metadata =
            HttpMetadata { content_type: Some(content_type.to_owned()), ..HttpMetadata::default() };
        bucket.put(key, bytes).http_metadata(metadata).execute().await.map(drop)
    });
    put.await.map_err(Problem::unavailable)?;
    Ok(id)
}

/// Store a photo
///
/// Its type is told from its bytes, whatever the header says. A photo that no row points to is removed
/// after a day.
#[utoipa::path(
    post, path = "/api/v1/admin/photos", tag = "catalog", operation_id = "store_photo",
    request_body(content(
        (PhotoBytes = "image/jpeg"), (PhotoBytes = "image/png"), (PhotoBytes = "image/webp"),
        (PhotoBytes = "application/octet-stream"),
    )),
    responses((status = 201, description = "Stored", body = Photo)),
)]
pub(super) async fn upload(ctx: Ctx, request: Request) -> Answer<Created<Photo>> {
    stored(&ctx, request).await
}

/// Store a photo of a visit
///
/// As the catalog's; the visit whose finish names it keeps it.
#[utoipa::path(
    post, path = "/api/v1/staff/photos", tag = "visits", operation_id = "store_visit_photo",
    request_body(content(
        (PhotoBytes = "image/jpeg"), (PhotoBytes = "image/png"), (PhotoBytes = "image/webp"),
        (PhotoBytes = "application/octet-stream"),
    )),
    responses((status = 201, description = "Stored", body = Photo)),
)]
pub(super) async fn upload_for_visit(ctx: Ctx, request: Request) -> Answer<Created<Photo>> {
    stored(&ctx, request).await
}

async fn stored(ctx: &Ctx, request: Request) -> Answer<Created<Photo>> {
    let bytes = extract::bytes(request).await?;
    let content_type = sniff(&bytes).ok_or(Code::NotAPhoto)?;
    let length = u32::try_from(bytes.len()).map_err(Problem::internal)?;
    let id = store(ctx, bytes).await?;
    Ok(Created(Photo { id, content_type, bytes: length }))
}

/// A photo
#[utoipa::path(
    get, path = "/api/v1/photos/{id}", tag = "catalog", operation_id = "get_photo",
    params(
        ("id" = Id, Path, description = "The photo"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that the caller has"),
    ),
    responses(
        (status = 200, description = "Its bytes", content(
            (PhotoBytes = "image/jpeg"), (PhotoBytes = "image/png"), (PhotoBytes = "image/webp"),
        )),
        (status = 304, description = "The caller has it"),
    ),
)]
pub(super) async fn get(ctx: Ctx, PathId(id): PathId, headers: HeaderMap) -> Answer<Response> {
    let etag = format!("\"{id}\"");
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',');
        tags.map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    });
    let bucket = bucket(&ctx)?;
    let key = id.to_string();
    let read = SendFuture::new(async move {
        let object = if known { bucket.head(key).await } else { bucket.get(key).execute().await };
        let Some(object) = object? else { return Ok(None) };
        let kind = object.http_metadata().content_type.unwrap_or_default();
        let bytes = match object.body() {
            Some(body) => body.bytes().await?,
            None => Vec::new(),
        };
        Ok::<_, worker::Error>(Some((kind, bytes)))
    });
    let (kind, bytes) = read.await.map_err(Problem::unavailable)?.ok_or(Code::NotFound)?;
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let headers = response.headers_mut();
    let immutable = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(CACHE_CONTROL, immutable);
    headers.insert(ETAG, HeaderValue::from_str(&etag).map_err(Problem::internal)?);
    if !known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&kind).map_err(Problem::internal)?);
    }
    Ok(response)
}

/// Removes at most 200 photos that are older than a day and that no row points to; answers how many.
///
/// # Errors
/// 503.
pub async fn collect_unused(ctx: &Ctx) -> Answer<u32> {
    let statement = queries::delete_unused_photos(ctx.now - UNUSED_MS, MAX_COLLECTED);
    let ids: Vec<String> = ctx.db()?.batch(vec![statement]).await?.all(0)?;
    if ids.is_empty() {
        return Ok(0);
    }
    let count = u32::try_from(ids.len()).map_err(Problem::internal)?;
    let bucket = bucket(ctx)?;
    let delete = SendFuture::new(async move { bucket.delete_multiple(ids).await });
    delete.await.map_err(Problem::unavailable)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::sniff;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\
        \xff\xdb\0\x04\0\0\xff\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0";
    const WEBP: &[u8] =
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";

    #[test]
    fn a_photo_is_known_by_its_bytes() {
        assert_eq!(sniff(PNG), Some("image/png"));
        assert_eq!(sniff(JPEG), Some("image/jpeg"));
        assert_eq!(sniff(WEBP), Some("image/webp"));
    }

    #[test]
    fn a_signature_alone_is_no_photo() {
        let no_size = [&PNG[..16], &[0; 20]].concat();
        let not_a_photo: &[&[u8]] = &[
            b"",
            b"GIF89a\x01\0\x01\0",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            &PNG[..12],
            &no_size,
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe0\0\0",
            &JPEG[..30],
            b"\xff\xd8\xff<html>",
            &WEBP[..20],
            b"RIFF\x10\0\0\0WAVEfmt 0000000000000000000",
        ];
        for bytes in not_a_photo {
            assert_eq!(sniff(bytes), None, "{bytes:?}");
        }
        // Whatever is cut off or overwritten, nothing goes wrong.
        for photo in [PNG, JPEG, WEBP] {
            for length in 0..photo.len() {
                let _ = sniff(&photo[..length]);
                let mut changed = photo.to_vec();
                changed[length] = 0xff;
                let _ = sniff(&changed);
            }
        }
    }
}

//! What goes wrong, once: every error code with its status and its words, and how a cause becomes one.
//!
//! A [`Problem`] is what a client gets to see (RFC 9457). It is made where the rule is, and written out
//! in one place ([`crate::http::respond`]), in the language that the request asks for.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value};

use crate::d1::DbError;

macro_rules! codes {
    ($($variant:ident = $name:literal, $status:ident, $zh:literal, $en:literal;)*) => {
        /// A stable error code. Clients branch on these; they are never renamed.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code {
            $(#[doc = $en] $variant,)*
        }

        impl Code {
            /// Every code, for the document.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status that it comes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What a person reads; `{}` stands for the code's one parameter.
            #[must_use]
            pub const fn message(self, english: bool) -> &'static str {
                match self { $(Self::$variant => if english { $en } else { $zh },)* }
            }

            /// The code with this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    // The request itself.
    InvalidJson = "invalid_json", BAD_REQUEST, "请求内容不是有效的 JSON", "The body is not valid JSON.";
    InvalidEncoding = "invalid_encoding", BAD_REQUEST, "请求地址不是有效的 UTF-8", "The address is not valid UTF-8.";
    WrongType = "wrong_type", UNPROCESSABLE_ENTITY, "类型不对,应为:{}", "Wrong type: expected {}.";
    MissingField = "missing_field", UNPROCESSABLE_ENTITY, "缺少必填项", "This field is required.";
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "没有这个字段", "There is no such field.";
    DuplicateField = "duplicate_field", UNPROCESSABLE_ENTITY, "字段重复", "This field is given twice.";
    UnknownValue = "unknown_value", UNPROCESSABLE_ENTITY, "只能是以下之一:{}", "Must be one of: {}.";
    OutOfRange = "out_of_range", UNPROCESSABLE_ENTITY, "超出允许的范围:{}", "Out of range: {}.";
    TextTooLong = "text_too_long", UNPROCESSABLE_ENTITY, "文字太长,最多 {} 个字", "Too long: {} characters at most.";
    TextTooShort = "text_too_short", UNPROCESSABLE_ENTITY, "文字太短,至少 {} 个字", "Too short: {} characters at least.";
    ControlCharacter = "control_character", UNPROCESSABLE_ENTITY, "文字中有不可见的控制字符", "The text has a control character.";
    TooManyItems = "too_many_items", UNPROCESSABLE_ENTITY, "最多 {} 项", "Too many: {} at most.";
    DuplicateItem = "duplicate_item", UNPROCESSABLE_ENTITY, "列表中有重复", "The list has the same item twice.";
    InvalidId = "invalid_id", UNPROCESSABLE_ENTITY, "编号应为 32 位小写十六进制", "An id is 32 lower-case hexadecimal digits.";
    InvalidPhone = "invalid_phone", UNPROCESSABLE_ENTITY, "请输入 11 位大陆手机号", "Must be a mainland mobile number of 11 digits.";
    InvalidContactPhone = "invalid_contact_phone", UNPROCESSABLE_ENTITY, "电话应为 5 到 20 位数字、空格、+ 或 -", "Must be a telephone number: 5 to 20 digits, spaces, + or -.";
    InvalidDate = "invalid_date", UNPROCESSABLE_ENTITY, "日期不存在,格式为 YYYY-MM-DD", "There is no such date; the form is YYYY-MM-DD.";
    InvalidTime = "invalid_time", UNPROCESSABLE_ENTITY, "时间应为 HH:MM,五分钟一格", "A time of day is HH:MM, on a multiple of five minutes.";
    InvalidInstant = "invalid_instant", UNPROCESSABLE_ENTITY, "时间应为 RFC 3339,例如 2026-11-23T10:00:00+08:00", "An instant is RFC 3339, such as 2026-11-23T10:00:00+08:00.";
    InvalidTimeZone = "invalid_time_zone", UNPROCESSABLE_ENTITY, "没有这个时区,例如 Asia/Shanghai", "There is no such time zone; an example is Asia/Shanghai.";
    InvalidRange = "invalid_range", UNPROCESSABLE_ENTITY, "结束必须晚于开始,且不超过一天", "The end must come after the start, at most a day later.";
    InvalidCursor = "invalid_cursor", UNPROCESSABLE_ENTITY, "翻页标记无效,请从第一页开始", "The cursor is not one of ours; start from the first page.";
    InvalidIdempotencyKey = "invalid_idempotency_key", BAD_REQUEST, "Idempotency-Key 应为 8 到 64 个字母、数字或 -_", "An Idempotency-Key is 8 to 64 letters, digits, - or _.";
    MissingIdempotencyKey = "missing_idempotency_key", BAD_REQUEST, "缺少 Idempotency-Key 请求头", "The Idempotency-Key header is required.";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "这个 Idempotency-Key 已用于另一个请求", "This Idempotency-Key was used for another request.";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "请求内容太大,最多 {} 字节", "The body is too large: {} bytes at most.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Content-Type 应为 {}", "The Content-Type must be {}.";
    NotFound = "not_found", NOT_FOUND, "没有找到", "There is nothing here.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "这个地址不支持这种请求方法", "This address does not take this method.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "操作太频繁,请稍后再试", "Too many requests; try again later.";

    // Who asks.
    SignInRequired = "sign_in_required", UNAUTHORIZED, "请先登录", "Sign in first.";
    InvalidToken = "invalid_token", UNAUTHORIZED, "登录凭证无效,请重新登录", "The token is not valid; sign in again.";
    ExpiredToken = "expired_token", UNAUTHORIZED, "登录已过期,请重新登录", "The sign-in has expired; sign in again.";
    WrongAudience = "wrong_audience", UNAUTHORIZED, "这个登录凭证不能用在这里", "This token is not for this place.";
    Forbidden = "forbidden", FORBIDDEN, "您没有权限:{}", "You do not have the permission {}.";
    ForeignStore = "foreign_store", FORBIDDEN, "您没有这家门店的权限", "You have no such permission in this store.";
    WechatCodeInvalid = "wechat_code_invalid", UNPROCESSABLE_ENTITY, "微信登录已失效,请重试", "WeChat's code is not valid or has expired; try again.";
    WechatCodeUsed = "wechat_code_used", UNPROCESSABLE_ENTITY, "微信登录码已用过,请重试", "WeChat's code was used before; try again.";
    WechatRefused = "wechat_refused", FORBIDDEN, "微信拒绝了这次登录", "WeChat refused this sign-in.";
    WechatUnavailable = "wechat_unavailable", SERVICE_UNAVAILABLE, "微信暂时没有响应,请稍后再试", "WeChat does not answer right now; try again later.";
    SmsUnavailable = "sms_unavailable", SERVICE_UNAVAILABLE, "短信暂时发不出去,请稍后再试", "The message cannot be sent right now; try again later.";
    SmsRefused = "sms_refused", UNPROCESSABLE_ENTITY, "短信不能发到这个号码", "No message can be sent to this number.";
    WrongCode = "wrong_code", UNPROCESSABLE_ENTITY, "验证码不对或已过期", "The code is wrong or has expired.";
    TooManyTries = "too_many_tries", TOO_MANY_REQUESTS, "验证码输错次数太多,请重新获取", "Too many wrong codes; ask for a new one.";
    PhoneTaken = "phone_taken", CONFLICT, "这个手机号已绑定另一个账号", "This phone belongs to another account.";

    // Catalog.
    StaleVersion = "stale_version", CONFLICT, "已被别人修改,请看最新内容后再改", "Somebody changed it meanwhile; here is the current state.";
    Retired = "retired", CONFLICT, "已停用,不能修改", "It is retired and cannot be changed.";
    ModeFixed = "mode_fixed", CONFLICT, "服务计划模式保存后不能更改", "The mode plan cannot be changed once saved.";
    ModeAlone = "mode_alone", UNPROCESSABLE_ENTITY, "服务计划不能与其他预约方式并用", "The mode plan stands alone.";
    TimeZoneFixed = "time_zone_fixed", CONFLICT, "门店时区保存后不能更改", "A store's time zone cannot be changed once saved.";
    UnknownStore = "unknown_store", UNPROCESSABLE_ENTITY, "没有这家门店,或已停用", "There is no such store, or it is retired.";
    UnknownService = "unknown_service", UNPROCESSABLE_ENTITY, "没有这个服务,或已停用", "There is no such service, or it is retired.";
    UnknownTechnician = "unknown_technician", UNPROCESSABLE_ENTITY, "没有这位技师,或已停用", "There is no such technician, or they are retired.";
    UnknownResource = "unknown_resource", UNPROCESSABLE_ENTITY, "没有这个房间或设备,或已停用", "There is no such room or equipment, or it is retired.";
    FieldFixed = "field_fixed", CONFLICT, "保存后不能再改", "It cannot be changed once saved.";
    UnknownItem = "unknown_item", UNPROCESSABLE_ENTITY, "这家门店没有这个商品,或已停用", "The store sells no such item, or it is retired.";
    UnknownAddOn = "unknown_add_on", UNPROCESSABLE_ENTITY, "这项服务没有这个加项", "The service has no such add-on.";
    UnknownMember = "unknown_member", UNPROCESSABLE_ENTITY, "没有这位会员", "There is no such member.";
    UnknownPhoto = "unknown_photo", UNPROCESSABLE_ENTITY, "没有这张照片,请先上传", "There is no such photo; upload it first.";
    TierNotLater = "tier_not_later", UNPROCESSABLE_ENTITY, "每一档的时限都要比前一档更靠近开始", "Each tier must end closer to the start than the one before.";
    TierNotLess = "tier_not_less", UNPROCESSABLE_ENTITY, "每一档退的都要比前一档少", "Each tier must give back less than the one before.";
    PolygonCrosses = "polygon_crosses", UNPROCESSABLE_ENTITY, "区域的边不能相交", "The edges of the area must not cross.";
    BandNotFurther = "band_not_further", UNPROCESSABLE_ENTITY, "每一档的距离都要比前一档远", "Each band must reach further than the one before.";
    HasAppointments = "has_appointments", CONFLICT, "还有未完成的预约", "There are appointments still to come.";
    AppointmentsStranded = "appointments_stranded", CONFLICT, "这样改会让已有预约落在工作时间之外", "Appointments would fall outside working time.";
    NotAPhoto = "not_a_photo", UNPROCESSABLE_ENTITY, "只支持 JPEG、PNG、WebP 照片", "Only JPEG, PNG and WebP photos are taken.";
    StaffPhoneTaken = "staff_phone_taken", CONFLICT, "这个手机号已是员工", "This phone belongs to a member of staff already.";
    LastOwner = "last_owner", CONFLICT, "至少要留一位所有门店的店主", "One owner of all stores must remain.";

    // Booking.
    SlotTaken = "slot_taken", CONFLICT, "这个时间刚被约走,请换一个", "This time has just been taken; choose another.";
    OffGrid = "off_grid", UNPROCESSABLE_ENTITY, "开始时间应为五分钟的整数倍", "A start lies on a multiple of five minutes.";
    StartSkipped = "start_skipped", UNPROCESSABLE_ENTITY, "门店的时钟在这天跳过了这个时间", "The store's clock skips this time on that day.";
    StartAmbiguous = "start_ambiguous", UNPROCESSABLE_ENTITY, "门店的时钟在这天两次显示这个时间,请带上时差", "The store's clock shows this time twice on that day; give the offset.";
    StartInPast = "start_in_past", UNPROCESSABLE_ENTITY, "开始时间已过", "The start lies in the past.";
    StartTooSoon = "start_too_soon", UNPROCESSABLE_ENTITY, "需要提前更久预约", "This service needs more notice.";
    StartTooFar = "start_too_far", UNPROCESSABLE_ENTITY, "还不能预约这么远的时间", "This service cannot be booked so far ahead.";
    OutsideHours = "outside_hours", UNPROCESSABLE_ENTITY, "不在营业或工作时间内", "This is outside opening or working hours.";
    DailyLimitReached = "daily_limit_reached", CONFLICT, "这项服务当天已约满", "This service is fully booked for that day.";
    StoreClosed = "store_closed", CONFLICT, "门店暂停营业", "The store takes no bookings at present.";
    ServiceNotOffered = "service_not_offered", UNPROCESSABLE_ENTITY, "这家门店不提供这项服务", "This store does not offer this service.";
    TechnicianNotOffered = "technician_not_offered", UNPROCESSABLE_ENTITY, "这位技师不在这家门店做这项服务", "This technician does not do this service in this store.";
    TechnicianByStore = "technician_by_store", UNPROCESSABLE_ENTITY, "这样预约时由门店安排技师", "In this mode the store chooses the technician.";
    NotYoursToAnswer = "not_yours_to_answer", CONFLICT, "这个预约现在不需要这样答复", "This appointment does not wait for this answer.";
    AnswerTooLate = "answer_too_late", CONFLICT, "答复时间已过", "The time to answer is over.";
    OfferGone = "offer_gone", CONFLICT, "已被别人抢走,或不再开放", "Somebody else has it already, or it is offered no more.";
    ExpressNotOffered = "express_not_offered", UNPROCESSABLE_ENTITY, "这家门店不接快速预约", "This store takes no express orders.";
    OutsideWish = "outside_wish", UNPROCESSABLE_ENTITY, "不在顾客希望的时间段内", "This is outside the time that the customer wished for.";
    NoProposal = "no_proposal", CONFLICT, "现在没有待确认的方案", "There is no proposal to answer.";
    ProposalExpired = "proposal_expired", CONFLICT, "方案已过期,款项会原路退回", "The proposal has expired; what was paid goes back.";
    ModeNotOffered = "mode_not_offered", UNPROCESSABLE_ENTITY, "这项服务不能这样预约", "This service cannot be booked in this way.";
    PlaceNotOffered = "place_not_offered", UNPROCESSABLE_ENTITY, "这项服务不能在这里做", "This service is not done at this place.";
    AddressOutsideArea = "address_outside_area", UNPROCESSABLE_ENTITY, "这个地址不在上门范围内", "This address is outside the area that the store serves.";
    UnknownAddress = "unknown_address", UNPROCESSABLE_ENTITY, "没有这个地址", "There is no such address.";
    TooManyAddresses = "too_many_addresses", CONFLICT, "最多保存 20 个地址", "20 addresses at most.";
    PaymentNotOffered = "payment_not_offered", UNPROCESSABLE_ENTITY, "这项服务不能这样付款", "This service cannot be paid for in this way.";
    OrderNotChangeable = "order_not_changeable", CONFLICT, "订单当前状态不能这样操作", "The order's state does not allow this.";
    TooLate = "too_late", CONFLICT, "离开始时间太近,请联系门店", "It is too late for this; please call the store.";
    TooEarly = "too_early", CONFLICT, "还没到时间", "It is too early for this.";
    TooManyMoves = "too_many_moves", CONFLICT, "改约次数已用完,请联系门店", "It has been moved as often as it may be; please call the store.";
    PrepayRequired = "prepay_required", CONFLICT, "您有多次预约未到店,需要先在线付款才能预约", "After appointments that were missed, this one must be paid online.";
    OrderPaid = "order_paid", CONFLICT, "订单已支付", "The order is paid.";
    PaymentExpired = "payment_expired", CONFLICT, "支付时间已过,请重新预约", "The time to pay is over; book again.";
    PaymentInProgress = "payment_in_progress", CONFLICT, "另一笔支付正在进行,请稍后再试", "Another payment is under way; try again in a moment.";
    PaymentUnavailable = "payment_unavailable", SERVICE_UNAVAILABLE, "支付暂时没有响应,请稍后再试", "The payment service does not answer right now; try again later.";
    RefundTooLarge = "refund_too_large", UNPROCESSABLE_ENTITY, "退款超过已付金额,最多 {} 分", "More than was paid: {} fen at most.";
    SettleTooLarge = "settle_too_large", UNPROCESSABLE_ENTITY, "收款超过待付金额,还差 {} 分", "More than remains to be paid: {} fen at most.";
    NoticeNotVerified = "notice_not_verified", UNAUTHORIZED, "通知验签失败", "The notice is not verified.";
    NoticeMismatch = "notice_mismatch", UNPROCESSABLE_ENTITY, "通知与订单不符", "The notice does not fit a payment of ours.";
    UnknownTemplate = "unknown_template", UNPROCESSABLE_ENTITY, "没有这个订阅消息模板", "There is no such template of subscribe messages.";
    TooManySessions = "too_many_sessions", UNPROCESSABLE_ENTITY, "一个计划最多 99 次,这里有 {} 次", "A plan has 99 sessions at most; these are {}.";
    SessionsOverlap = "sessions_overlap", UNPROCESSABLE_ENTITY, "计划中有两次时间重叠", "Two sessions of the plan overlap.";
    NoSessions = "no_sessions", UNPROCESSABLE_ENTITY, "这样一次也不剩", "No session remains.";
    NoOpenDay = "no_open_day", UNPROCESSABLE_ENTITY, "{} 之后很久都不营业,无法顺延", "The store is closed for too long after {} to move the session.";
    UnknownPlanSession = "unknown_plan_session", UNPROCESSABLE_ENTITY, "计划中没有这一次", "The plan has no such session.";
    PlanConflicts = "plan_conflicts", CONFLICT, "有 {} 次时间排不上,请换时间或去掉", "{} sessions have no free time; choose other times or leave them out.";
    SeatsOverCapacity = "seats_over_capacity", UNPROCESSABLE_ENTITY, "名额超过上限,最多 {} 个", "More seats than there are: {} at most.";
    SessionFull = "session_full", CONFLICT, "这节课已约满,可以候补", "This class is full; there is a waitlist.";
    SessionCancelled = "session_cancelled", CONFLICT, "这节课已取消", "This class is cancelled.";
    SessionChanged = "session_changed", CONFLICT, "这节课刚被修改,请刷新", "This class has just been changed; look at it again.";
    SessionConflicts = "session_conflicts", CONFLICT, "有 {} 节课排不下,一节也没有排", "{} of the classes do not fit, and none was made.";
    SeatsBooked = "seats_booked", CONFLICT, "已约的名额比这更多", "More seats than that are booked.";
    UnknownSession = "unknown_session", UNPROCESSABLE_ENTITY, "没有这节课,或不是同一项服务", "There is no such class of this service.";
    MovesToSession = "moves_to_session", CONFLICT, "团课名额只能改到另一节课", "A seat in a class moves to another class.";
    PlacesFree = "places_free", CONFLICT, "还有空位,请直接预约", "There are places; book one.";
    AlreadyWaiting = "already_waiting", CONFLICT, "您已在候补名单中", "You are on this waitlist already.";
    TooManyWaits = "too_many_waits", CONFLICT, "最多同时候补 {} 个", "You wait for {} already, which is the most.";
    OfferExpired = "offer_expired", CONFLICT, "候补名额已过期或已使用", "The place that was offered is given up or taken.";
    TooManyOfItem = "too_many_of_item", UNPROCESSABLE_ENTITY, "这个商品一次最多 {} 份", "At most {} of this item in one order.";
    ItemChanged = "item_changed", CONFLICT, "商品刚被修改,请刷新", "An item has just been changed; look at it again.";
    IntakeRequired = "intake_required", UNPROCESSABLE_ENTITY, "请先填写这项服务的表单", "This service asks some questions first.";
    IntakeNotAsked = "intake_not_asked", UNPROCESSABLE_ENTITY, "这项服务没有要填写的表单", "This service asks nothing.";
    IntakeChanged = "intake_changed", CONFLICT, "表单已更新,请重新填写", "The form has been changed; answer the new one.";
    ConsentRequired = "consent_required", UNPROCESSABLE_ENTITY, "请先阅读并同意第 {} 版说明", "Agree to the text of version {} first.";
    AnswerNotPossible = "answer_not_possible", UNPROCESSABLE_ENTITY, "不能这样回答", "This is no possible answer to the question.";
    OrderChanged = "order_changed", CONFLICT, "订单刚被修改,请刷新", "The order has just been changed; look at it again.";

    CannotExtend = "cannot_extend", CONFLICT, "后面已有安排,不能加钟", "What comes next leaves no time for more.";
    TechnicianTwice = "technician_twice", UNPROCESSABLE_ENTITY, "一位技师不能同时做两项", "A technician cannot do two things at the same time.";
    VisitTooLong = "visit_too_long", UNPROCESSABLE_ENTITY, "时间太长,最多 {} 分钟", "This takes too long: {} minutes at most.";
    VisitMovesWhole = "visit_moves_whole", CONFLICT, "一次到店的几项服务一起改约", "The services of a visit move together.";

    // The visit.
    QrInvalid = "qr_invalid", UNPROCESSABLE_ENTITY, "这不是签到二维码", "This is no check-in code of ours.";
    QrExpired = "qr_expired", CONFLICT, "二维码已过期,请顾客刷新", "The QR code has expired; the customer can show a new one.";
    QrUsed = "qr_used", CONFLICT, "二维码已用过,请顾客刷新", "The QR code was shown before; the customer can show a new one.";
    WrongCheckInCode = "wrong_check_in_code", UNPROCESSABLE_ENTITY, "没有这个到店码", "No coming appointment of the store has this code.";
    TooManyCodes = "too_many_codes", TOO_MANY_REQUESTS, "到店码输错次数太多,请稍后再试", "Too many wrong codes; try again later.";
    AlreadyCheckedIn = "already_checked_in", CONFLICT, "已经签到过了", "The customer is checked in already.";

    // Ours.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "系统繁忙,请稍后再试", "The system is busy; try again in a moment.";
    Misconfigured = "misconfigured", SERVICE_UNAVAILABLE, "系统配置有误:{}", "The deployment is not configured: {}.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "系统出错了,我们已记录", "Something went wrong; it has been recorded.";
}

/// An answer that is not a success. Nothing was changed, unless the code's documentation says so.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    param: String,
    field: Option<String>,
    retry_after_seconds: Option<u32>,
    extra: Map<String, Value>,
    /// For the log, never for the client.
    cause: Option<String>,
}

/// What most functions of the Worker answer.
pub type Answer<T> = Result<T, Problem>;

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            param: String::new(),
            field: None,
            retry_after_seconds: None,
            extra: Map::new(),
            cause: None,
        }))
    }
}

impl Problem {
    /// A fault of ours: its cause goes to the log.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::from(Code::Internal).caused_by(cause)
    }

    /// Something that we stand on does not answer: 503, and worth another try.
    #[must_use]
    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        Self::from(Code::Unavailable).caused_by(cause).retry_after(2)
    }

    /// The code's one parameter.
    #[must_use]
    pub fn with(mut self, param: impl std::fmt::Display) -> Self {
        self.0.param = param.to_string();
        self
    }

    /// The field at fault: a JSON path, a query parameter or a header.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// When another try makes sense, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// A member of the problem besides the standard ones, such as `alternatives` or `current`.
    #[must_use]
    pub fn and(mut self, name: &str, value: Value) -> Self {
        self.0.extra.insert(name.to_owned(), value);
        self
    }

    /// The cause, for the log alone.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.0.code
    }

    /// Its cause.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Seconds for `Retry-After`.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after_seconds
    }

    /// The RFC 9457 document.
    #[must_use]
    pub fn document(&self, english: bool, request_id: &str) -> Value {
        let inner = &self.0;
        let message = inner.code.message(english).replace("{}", &inner.param);
        let mut document = Map::new();
        document.insert("type".into(), "about:blank".into());
        document.insert("title".into(), message.clone().into());
        document.insert("status".into(), inner.code.status().as_u16().into());
        document.insert("code".into(), inner.code.as_str().into());
        document.insert("request_id".into(), request_id.into());
        if let Some(field) = &inner.field {
            let fault = serde_json::json!({
                "field": field, "code": inner.code.as_str(), "message": message,
            });
            document.insert("fields".into(), Value::Array(vec![fault]));
        }
        document.extend(inner.extra.clone());
        Value::Object(document)
    }
}

/// The constraints and preconditions of the database that are answers, not faults.
const CONSTRAINTS: &[(&str, Code)] = &[
    ("service_bookable", Code::UnknownService),
    ("store_open", Code::StoreClosed),
    ("technician_active", Code::UnknownTechnician),
    ("member_active", Code::InvalidToken),
    ("member_known", Code::UnknownMember),
    ("plans_on", Code::NotFound),
    ("daily_limit", Code::DailyLimitReached),
    ("order_version", Code::OrderChanged),
    ("order_open", Code::OrderNotChangeable),
    ("item_version", Code::ItemChanged),
    ("intake_version", Code::IntakeChanged),
    ("session_version", Code::SessionChanged),
    ("seats_first", Code::SessionFull),
    ("seats_booked", Code::SeatsBooked),
    ("waitlist_member_id", Code::AlreadyWaiting),
    ("waitlist_offered", Code::OfferExpired),
    ("prepay", Code::PrepayRequired),
    ("shown_qr_id", Code::QrUsed),
    ("account_balance", Code::OrderChanged),
    ("payment_known", Code::OrderChanged),
    ("staff_phone", Code::StaffPhoneTaken),
    ("member_phone", Code::PhoneTaken),
    ("address_limit", Code::TooManyAddresses),
    ("last_owner", Code::LastOwner),
    ("no_appointments", Code::HasAppointments),
    ("catalog_version", Code::StaleVersion),
    ("stores_exist", Code::UnknownStore),
    ("technicians_exist", Code::UnknownTechnician),
    ("photos_exist", Code::UnknownPhoto),
    ("resources_exist", Code::UnknownResource),
];

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Constraint(name) => {
                match CONSTRAINTS.iter().find(|(known, _)| *known == name) {
                    Some((_, code)) => Self::from(*code),
                    None => Self::internal(format!("constraint {name}")),
                }
            }
            DbError::Unavailable(cause) => Self::unavailable(cause),
            DbError::Row(cause) => Self::internal(cause),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The body is written by `http::respond`, which knows the request's language and id.
        let mut response = self.code().status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

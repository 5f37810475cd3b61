"""The formats of secrets: vendors' tokens and keys, each with the page that describes it.

`docs/concepts/secrets.md` shows this table; a test holds the two to each other. Patterns fail
within a bounded number of characters, and repeat without a bound only at their end: many false
beginnings in one text cost no more than its length.
"""

import functools
import re
from typing import NamedTuple

__all__ = ["FORMATS", "MASK", "SecretFormat", "format_spans"]

MASK = "redacted"


class SecretFormat(NamedTuple):
    """One kind of secret."""

    vendor: str
    kind: str
    hints: tuple[str, ...]
    """Hints: every such secret contains one of these, and nearly no other text does.

    A pattern is only tried where a hint is found.
    """
    pattern: str
    """A match is masked wherever it stands, also in the middle of a word."""
    source: str
    is_loose: bool = False
    """Whether a hint is enough at the beginning of a word.

    A digit and eight characters or more must follow it.
    """


FORMATS = (
    SecretFormat("Adafruit", "IO key", ("aio_",), r"aio_[A-Za-z0-9]{28}", "https://io.adafruit.com/api/docs/"),
    SecretFormat("age", "secret key", ("AGE-SECRET-KEY-",), r"AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{50,}", "https://github.com/C2SP/C2SP/blob/main/age.md"),
    SecretFormat("Airtable", "personal access token", ("pat",), r"pat[A-Za-z0-9]{14}\.[a-f0-9]{32,}", "https://airtable.com/developers/web/guides/personal-access-tokens"),
    SecretFormat("Anthropic", "API key", ("sk-ant-",), r"sk-ant-[\w-]{16,}", "https://docs.anthropic.com/en/api/administration-api"),
    SecretFormat("Atlassian", "API token", ("ATATT3", "ATCTT3"), r"AT[AC]TT3[\w=-]{40,}", "https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/"),
    SecretFormat("AWS", "access key id", ("AKIA", "ASIA", "ABIA", "ACCA"), r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html", True),
    SecretFormat("AWS", "secret access key: 40 random characters of base64", (), "", "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html"),
    SecretFormat("AWS", "Bedrock API key", ("ABSK", "bedrock-api-key-"), r"ABSK[A-Za-z0-9+/]{100,}={0,2}|bedrock-api-key-[\w+/=-]{16,}", "https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html"),
    SecretFormat("Brevo", "API key", ("xkeysib-", "xsmtpsib-"), r"x(?:key|smtp)sib-[a-f0-9]{32,}-\w{8,}", "https://developers.brevo.com/docs/getting-started"),
    SecretFormat("Databricks", "personal access token", ("dapi",), r"dapi[a-f0-9]{32}(?:-\d)?", "https://docs.databricks.com/en/dev-tools/auth/pat.html"),
    SecretFormat("DigitalOcean", "API and OAuth token", ("dop_v1_", "doo_v1_", "dor_v1_"), r"do[opr]_v1_[a-f0-9]{32,}", "https://docs.digitalocean.com/reference/api/create-personal-access-token/"),
    SecretFormat("Discord", "webhook", ("/api/webhooks/",), r"(?:discord|discordapp)\.com/api/webhooks/\d{5,20}/[\w-]{20,}", "https://discord.com/developers/docs/resources/webhook"),
    SecretFormat("Docker", "access token", ("dckr_",), r"dckr_(?:pat|oat)_[\w-]{16,}", "https://docs.docker.com/security/access-tokens/"),
    SecretFormat("Doppler", "token", ("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit|said)\.(?:[\w-]{1,35}\.)?\w{16,}", "https://docs.doppler.com/reference/auth-token-formats"),
    SecretFormat("Figma", "personal access token", ("figd_",), r"figd_[\w-]{20,}", "https://www.figma.com/developers/api#access-tokens"),
    SecretFormat("GitHub", "token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{16,}", "https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/", True),
    SecretFormat("GitHub", "fine-grained personal access token", ("github_pat_",), r"github_pat_\w{16,}", "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats", True),
    SecretFormat("GitLab", "token", ("glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glwt-", "glsoat-", "glffct-"), r"gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[\w.-]{16,}", "https://docs.gitlab.com/security/tokens/#token-prefixes", True),
    SecretFormat("Google", "API key", ("AIza",), r"AIza[\w-]{30,}", "https://cloud.google.com/docs/authentication/api-keys", True),
    SecretFormat("Google", "OAuth client secret", ("GOCSPX-",), r"GOCSPX-[\w-]{16,}", "https://developers.google.com/identity/protocols/oauth2"),
    SecretFormat("Google", "OAuth access and refresh token", ("ya29.", "1//0"), r"ya29\.[\w-]{16,}|1//0[\w-]{20,}", "https://developers.google.com/identity/protocols/oauth2", True),
    SecretFormat("Grafana", "service account and cloud token", ("glsa_", "glc_"), r"gl(?:c|sa)_[\w+/=]{16,}", "https://grafana.com/docs/grafana/latest/administration/service-accounts/"),
    SecretFormat("Groq", "API key", ("gsk_",), r"gsk_[A-Za-z0-9]{20,}", "https://console.groq.com/docs/quickstart"),
    SecretFormat("HashiCorp", "Terraform token", (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}", "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens"),
    SecretFormat("HashiCorp", "Vault token", ("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[\w-]{20,}", "https://developer.hashicorp.com/vault/docs/concepts/tokens"),
    SecretFormat("Heroku", "API token", ("HRKU-",), r"HRKU-[\w-]{30,}", "https://devcenter.heroku.com/articles/authentication"),
    SecretFormat("HubSpot", "private app token", ("pat-na", "pat-eu", "pat-ap"), r"pat-(?:na|eu|ap)\d-[a-f0-9-]{20,}", "https://developers.hubspot.com/docs/guides/apps/private-apps/overview"),
    SecretFormat("Hugging Face", "user access token", ("hf_",), r"hf_[A-Za-z0-9]{16,}", "https://huggingface.co/docs/hub/security-tokens", True),
    SecretFormat("JSON web token", "signed, encrypted or bare", ("eyJ",), "", "https://www.rfc-editor.org/rfc/rfc7519"),
    SecretFormat("Linear", "API key and OAuth token", ("lin_api_", "lin_oauth_"), r"lin_(?:api|oauth)_\w{16,}", "https://linear.app/developers/graphql"),
    SecretFormat("Mailchimp", "API key", ("-us",), r"[a-f0-9]{32}-us\d{1,2}", "https://mailchimp.com/developer/marketing/guides/quick-start/"),
    SecretFormat("Mailgun", "API key", ("key-",), r"key-[a-f0-9]{32}", "https://documentation.mailgun.com/docs/mailgun/user-manual/get-started/"),
    SecretFormat("Netlify", "access token", ("nfp_",), r"nfp_[A-Za-z0-9]{20,}", "https://docs.netlify.com/api/get-started/"),
    SecretFormat("New Relic", "user key", ("NRAK-",), r"NRAK-[A-Z0-9]{16,}", "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/"),
    SecretFormat("Notion", "integration token", ("ntn_", "secret_"), r"(?:ntn|secret)_[A-Za-z0-9]{16,}", "https://developers.notion.com/reference/authentication"),
    SecretFormat("npm", "access token", ("npm_",), r"npm_[A-Za-z0-9]{16,}", "https://docs.npmjs.com/about-access-tokens", True),
    SecretFormat("OpenAI", "project, service account and admin key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), r"sk-(?:proj|svcacct|admin)-[\w-]{16,}", "https://platform.openai.com/docs/api-reference/authentication"),
    SecretFormat("OpenAI", "user key, and keys of services that speak its protocol", ("sk-", "pk-"), r"sk-(?:[A-Za-z0-9]{40,}|(?=[a-z0-9]{0,60}[A-Z])(?=[A-Za-z]{0,60}[0-9])[A-Za-z0-9]{20,}|or-v1-[a-f0-9]{32,})", "https://platform.openai.com/docs/api-reference/authentication", True),
    SecretFormat("PEM", "private key, also PGP's", ("PRIVATE KEY",), "", "https://www.rfc-editor.org/rfc/rfc7468"),
    SecretFormat("Perplexity", "API key", ("pplx-",), r"pplx-[A-Za-z0-9]{20,}", "https://docs.perplexity.ai/guides/api-key-management"),
    SecretFormat("PlanetScale", "token and password", ("pscale_",), r"pscale_(?:tkn|pw|oauth)_[\w.-]{16,}", "https://planetscale.com/docs/api/reference/service-tokens"),
    SecretFormat("PostHog", "project token, personal and secret key", ("phc_", "phx_", "phs_", "pha_"), r"ph[cxsa]_[A-Za-z0-9]{16,}", "https://posthog.com/docs/api", True),
    SecretFormat("Postman", "API key", ("PMAK-",), r"PMAK-[a-f0-9-]{16,}", "https://learning.postman.com/docs/developer/postman-api/authentication/"),
    SecretFormat("PyPI", "API token", ("pypi-",), r"pypi-Ag[\w-]{16,}", "https://pypi.org/help/#apitoken", True),
    SecretFormat("Replicate", "API token", ("r8_",), r"r8_[A-Za-z0-9]{20,}", "https://replicate.com/docs/reference/http#authentication"),
    SecretFormat("RubyGems", "API key", ("rubygems_",), r"rubygems_[a-f0-9]{32,}", "https://guides.rubygems.org/api-key-scopes/"),
    SecretFormat("SendGrid", "API key", ("SG.",), r"SG\.(?=[\w-]{0,80}[0-9])[\w-]{16,}\.[\w-]{16,}", "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys", True),
    SecretFormat("Sentry", "auth token", ("sntrys_", "sntryu_"), r"sntry[su]_[\w+/=]{16,}", "https://docs.sentry.io/security-legal-pii/security/token-formats/"),
    SecretFormat("Shopify", "access token and shared secret", ("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}", "https://shopify.dev/docs/apps/build/authentication-authorization"),
    SecretFormat("Slack", "token", ("xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.xox", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"), r"(?:xoxe\.)?xox[abcdeoprs]-[\w-]{10,}|xapp-[\w-]{10,}", "https://docs.slack.dev/authentication/tokens", True),
    SecretFormat("Slack", "incoming webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{20,}", "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"),
    SecretFormat("Square", "access token and secret", ("sq0", "EAAA"), r"sq0[a-z]{3}-[\w-]{16,}|EAAA[\w-]{40,}", "https://developer.squareup.com/docs/build-basics/access-tokens"),
    SecretFormat("Stripe", "secret, publishable and restricted key", ("sk_", "pk_", "rk_"), r"[rsp]k_(?:live|test|org)_[A-Za-z0-9]{10,}", "https://docs.stripe.com/keys", True),
    SecretFormat("Stripe", "webhook secret", ("whsec_",), r"whsec_[A-Za-z0-9+/=]{16,}", "https://docs.stripe.com/webhooks", True),
    SecretFormat("Supabase", "access token and secret key", ("sbp_", "sb_secret_"), r"sbp_[a-f0-9]{32,}|sb_secret_[\w-]{16,}", "https://supabase.com/docs/guides/api/api-keys"),
    SecretFormat("Tailscale", "auth and API key", ("tskey-",), r"tskey-[\w-]{16,}", "https://tailscale.com/docs/reference/key-prefixes"),
    SecretFormat("Telegram", "bot token", (":AA",), r"\d{8,10}:AA[\w-]{32,}", "https://core.telegram.org/bots/api#authorizing-your-bot"),
    SecretFormat("Twilio", "account and API key SID", ("AC", "SK"), r"(?:AC|SK)[a-f0-9]{32}", "https://www.twilio.com/docs/glossary/what-is-a-sid"),
    SecretFormat("xAI", "API key", ("xai-",), r"xai-[A-Za-z0-9]{20,}", "https://docs.x.ai/docs/tutorial"),
)  # fmt: skip

_MARKS = ("_", "-", ".", "/", ":")
_UPPER_CASE = "A"
_SHORTEST_FORMAT = re.compile(r"[\w.~+/:=-]{11}")  # all of them have as many characters in a row
# The beginning of a word, or an escaped newline before it.
_AFTER = r"(?:(?<![A-Za-z0-9]{0})|(?<=\\[abfnrtv0]{0}))"
_TAIL = r"(?=[\w.-]{0,80}?[0-9])[\w.-]{8,}+"
# A run of characters is looked at once, from the first "eyJ" in it.
_JWT = re.compile(r"(?<![\w-])(?>[\w-]*?(?=eyJ))([\w-]++(?:\.[\w-]++(?:\.[\w-]*+){0,3}|(?<=[\w-]{20})\Z))")
_PRIVATE_KEY = re.compile(r"(?:-{2,8} ?BEGIN[A-Z0-9 ]{0,40} )?PRIVATE KEY")
_PRIVATE_KEY_END = re.compile(r"-{2,8} ?END[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)? ?-{0,5}")


def format_spans(text: str) -> list[tuple[int, int]]:
    """Return where in *text* something has the format of a secret.

    The result is pairs of begin and end, in no order.
    """
    spans = _private_key_spans(text) if "PRIVATE KEY" in text else []
    if _SHORTEST_FORMAT.search(text) is None:
        return spans
    is_lower = text.islower()
    for mark, hints in _by_mark().items():
        # A search for one character rules out most hints of most texts: a URL's path is looked
        # through on each request.
        if is_lower if mark == _UPPER_CASE else mark not in text:
            continue
        for hint, patterns in hints:
            if hint in text:
                for pattern in patterns:
                    spans += [match.span() for match in pattern.finditer(text)]
    if not is_lower and "eyJ" in text:
        spans += [match.span(1) for match in _JWT.finditer(text)]
    return spans


@functools.cache
def _by_mark() -> dict[str, list[tuple[str, tuple[re.Pattern[str], ...]]]]:
    """Return hints and the patterns to try for each, by a character that each hint of a group has.

    The table is made on first use: compiling the patterns takes longer than the rest of the import.
    """
    by_hint: dict[str, tuple[re.Pattern[str], ...]] = {}
    for secret in FORMATS:
        if not secret.pattern:
            continue
        pattern = re.compile(secret.pattern)
        for hint in secret.hints:
            patterns: tuple[re.Pattern[str], ...] = (pattern,)
            if secret.is_loose:
                literal = re.escape(hint)
                patterns += (re.compile(literal + _AFTER.replace("{0}", literal) + _TAIL),)
            by_hint[hint] = (*by_hint.get(hint, ()), *patterns)
    by_mark: dict[str, list[tuple[str, tuple[re.Pattern[str], ...]]]] = {}
    for hint, patterns in by_hint.items():
        mark = next((mark for mark in _MARKS if mark in hint), _UPPER_CASE if not hint.islower() else "")
        by_mark.setdefault(mark, []).append((hint, patterns))
    return by_mark


def _private_key_spans(text: str) -> list[tuple[int, int]]:
    """Return a span from each header of a private key to its footer.

    Without a footer, the span goes to the end.
    """
    spans = []
    place = 0
    while (begin := _PRIVATE_KEY.search(text, place)) is not None:
        end = _PRIVATE_KEY_END.search(text, begin.end())
        place = end.end() if end is not None else len(text)
        spans.append((begin.start(), place))
    return spans

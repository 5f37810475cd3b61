"""Parts that all pages and API routes share: access, errors, paging, templates, headers, style.

This package knows no feature.

Content of events is hostile: templates escape it, pages show it as text, and the security headers
let nothing else run.
"""

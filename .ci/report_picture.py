"""Makes the README's pictures of a report, light and dark: the first screen of the sample report, in Chromium."""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "build" / "sample" / "report.html"
SIZE = {"width": 1100, "height": 850}


def main() -> None:
    """Write docs/images/report-light.png and report-dark.png."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not REPORT.exists() or program is None:
        sys.exit(f"{sys.argv[0]}: needs a Chromium, and {REPORT}: make report-sample")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(REPORT.as_uri())
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
            # Half the bytes; the palette covers rare colours, too, such as a verdict's.
            picture = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            picture.save(ROOT / "docs" / "images" / f"report-{scheme}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()

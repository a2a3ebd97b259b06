"""A browser that is driven: Debian's Chromium without a window."""

import shutil

import pytest

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--window-size=1440,1000",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    if CHROME is None or DRIVER is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


@pytest.fixture
def open_page(chromium):
    """Opens a page, once it is drawn; after the test, no script of it may have failed and no policy been broken."""
    from selenium.webdriver.support.ui import WebDriverWait

    def open_page(path, address=""):
        chromium.get("about:blank")
        chromium.get_log("browser")
        chromium.get(path.as_uri() + address)
        WebDriverWait(chromium, 60).until(
            lambda browser: browser.execute_script("return document.documentElement.dataset.openedIn")
        )
        return chromium

    yield open_page
    assert [entry["message"] for entry in chromium.get_log("browser")] == []

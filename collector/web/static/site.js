// Keeps the page fresh, and says so loudly when it cannot: a dead page must never look alive.
"use strict";
(() => {
  const EVERY_MS = 7000, PATIENCE_MS = 6000;
  const lost = document.getElementById("lost");
  let heardAt = performance.now(), heardClock = page().dataset.now, timer = 0, busy = false, spared = 0;

  function page() { return document.getElementById("page"); }

  function say(alive) {
    document.documentElement.classList.toggle("dead", !alive);
    lost.hidden = alive;
    // The time is the collector's own at its last answer: this device's clock may be wrong.
    const text = alive ? "" : lost.dataset.says.replace("{time}", heardClock);
    if (lost.textContent !== text) lost.textContent = text;
  }

  // Somebody is copying text: spare it, but not for ever, or a forgotten selection would freeze a wall display.
  function copying() {
    const chosen = getSelection(), now = chosen && !chosen.isCollapsed && page().contains(chosen.anchorNode);
    spared = now ? spared + 1 : 0;
    return now && spared <= 4;
  }

  function put(fresh, title) {
    const held = document.activeElement, link = held && page().contains(held) && held.getAttribute("href");
    const scrolled = [...page().querySelectorAll(".scroll, .provinces")].map((box) => box.scrollLeft);
    const x = scrollX, y = scrollY;
    page().replaceWith(fresh);
    document.title = title;
    page().querySelectorAll(".scroll, .provinces").forEach((box, place) => { box.scrollLeft = scrolled[place] || 0; });
    scrollTo(x, y);
    if (link) {
      const again = [...page().querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === link);
      if (again) again.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    const stop = new AbortController(), alarm = setTimeout(() => stop.abort(), PATIENCE_MS);
    try {
      const answer = await fetch(location.href, { signal: stop.signal, cache: "no-store", credentials: "same-origin" });
      if (answer.status >= 500) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html"), main = fresh.getElementById("page");
      if (!main) throw new Error("another server answered");
      if (main.dataset.assets !== page().dataset.assets) { location.reload(); return; }
      heardAt = performance.now();
      heardClock = main.dataset.now;
      const still = "still" in main.dataset;
      if (still || !copying()) {
        if (!still) put(document.adoptNode(main), fresh.title);
        document.getElementById("pulse").textContent = fresh.getElementById("pulse").textContent;
      }
      say(true);
    } catch {
      say(false);
    } finally {
      clearTimeout(alarm);
      busy = false;
      timer = setTimeout(refresh, EVERY_MS);
    }
  }

  // A page that comes back after sleep is old until it has asked again.
  function wake() {
    if (document.visibilityState !== "visible") return;
    if (performance.now() - heardAt > 3 * EVERY_MS) say(false);
    refresh();
  }
  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  addEventListener("offline", () => say(false));
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
  // Catches what no answer does: a request that hangs, a laptop that slept.
  setInterval(() => { if (performance.now() - heardAt > EVERY_MS + PATIENCE_MS + 3000) say(false); }, 1000);
  timer = setTimeout(refresh, EVERY_MS);
})();

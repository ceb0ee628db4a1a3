// Keeps a page up to date: fetches it again when a decision changes, and counts ages up in between. Filters, orders and folds queues as the viewer
// chooses, and tells the server the viewer's time zone.
'use strict';

(() => {
  const page = document.querySelector('main[data-watch]');
  if (!page) return;

  const PERIOD = [5000, 7000]; // ms between two fetches, at random: a poll that changes no decision sends no event, but the page shows its data
  const SPREAD = 250; // ms, a random delay up to this before a change is fetched, so that open pages do not all ask at once
  const REST = [300, 30000]; // ms, at least and at most, between two fetches
  const TIMEOUT = 20000; // ms, for a request: the server answers within 15 s
  const state = document.querySelector('.live');
  const statusText = state.querySelector('.words');

  // The server writes times in this zone. Every page is fetched once more below, so one that was made without the cookie is corrected.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `openseat_zone=${zone}; path=/; max-age=31536000; samesite=strict`;

  // --- ages --------------------------------------------------------------------------------------------------------

  // The server's clock at its answer, and our clocks at the request, so no age is understated. Until the first answer the page shows times of day.
  let clock = null;

  // Two clocks, as in the daemon: the steady one stops while the machine sleeps, and people set the other. The longer time counts.
  function now() {
    return { steady: performance.now(), wall: Date.now() };
  }

  function since(then) {
    const { steady, wall } = now();
    return Math.max(steady - then.steady, wall - then.wall, 0);
  }

  function duration(ms) {
    const s = Math.floor(ms / 1000);
    const two = (n, unit, m, part) => (m ? `${n} ${unit} ${m} ${part}` : `${n} ${unit}`);
    const part = (of, by) => Math.floor(s % of / by);
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(part(3600, 60), 'min', s % 60, 's');
    if (s < 86400) return two(part(86400, 3600), 'h', part(3600, 60), 'min');
    return two(Math.floor(s / 86400), 'd', part(86400, 3600), 'h');
  }

  function updateAges() {
    if (!clock) return;
    const present = clock.server + since(clock.asked);
    const past = (ms) => Math.max(present - Number(ms), 0);
    for (const time of page.querySelectorAll('time[data-since]')) {
      const { since: ms, before = '', after = '' } = time.dataset;
      setText(time, before + duration(past(ms)) + after);
    }
    for (const time of page.querySelectorAll('time[data-in]')) {
      const left = Number(time.dataset.in) - present;
      setText(time, time.dataset.text + (left >= 1000 ? ` (in ${duration(left)})` : ''));
    }
    for (const time of page.querySelectorAll('time[data-at]')) {
      const age = past(time.dataset.at);
      const left = Math.max(Number(time.dataset.until ?? 0) - present, 0);
      const near = left < (age + left) / 4;
      setText(time.querySelector('.span'), `${duration(age)} old`);
      setText(time.querySelector('.note'), !left ? 'too old to answer from' : near ? `usable for ${duration(left)}` : '');
      time.className = !left ? 'age old' : near ? 'age near' : 'age';
    }
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // --- the page ------------------------------------------------------------------------------------------------------

  let fetching = false;
  let isDue = false;
  let timer = null;
  let tag = null; // the ETag of the page as last fetched
  let tookBefore = 0; // ms, for the fetch before

  const random = (min, max) => min + Math.random() * (max - min);

  // A connection may hang for ever, so every request has an end.
  const request = (address, options) => fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT), ...options });

  // Fetches once for all changes of the same moment.
  function changed() {
    timer ??= setTimeout(() => {
      timer = null;
      refresh();
    }, random(0, SPREAD));
  }

  async function refresh() {
    isDue = true;
    if (fetching) return;
    fetching = true;
    while (isDue && !document.hidden) {
      isDue = false;
      const begun = performance.now();
      let took = 0;
      try {
        await read();
        took = performance.now() - begun;
      } catch {
        source?.close(); // it may hang, too
        setStatus('lost', 'Connection lost: this page is out of date');
      }
      // A page that always takes long to fetch is fetched less often, so that the line is free nine tenths of the time. One slow fetch alone, or one
      // that failed, says nothing about the line.
      const rest = 9 * Math.min(took, tookBefore);
      tookBefore = took;
      await new Promise((done) => setTimeout(done, Math.min(Math.max(REST[0], rest), REST[1])));
    }
    fetching = false;
  }

  async function read() {
    const asked = now();
    const headers = { Accept: 'text/html' };
    if (tag) headers['If-None-Match'] = tag;
    // The page's own address, so that the result of the what-if form is not computed again.
    const answer = await request(page.dataset.page ?? location.href, { headers });
    if (answer.redirected) return location.reload(); // to the login form: the session has ended
    if (answer.status === 503) return setStatus('slow', 'openseat is busy: this page is out of date');
    if (answer.status !== 304) await apply(answer);
    clock = { server: Number(answer.headers.get('openseat-now')), asked };
    updateAges();
    if (source?.readyState === EventSource.OPEN) setStatus('on', 'Live');
    else setStatus('slow', 'Updated every few seconds');
  }

  async function apply(answer) {
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const main = fresh.querySelector('main[data-watch]');
    if (!main) throw new Error('not the page');
    document.title = fresh.title;
    arrange(main);
    const focused = document.activeElement;
    update(page, main);
    // An element that moves to another place loses the focus.
    if (focused !== document.activeElement && page.contains(focused)) focused.focus({ preventScroll: true });
    tag = answer.headers.get('etag');
  }

  // Turns the old tree into the fresh one. Touches only what differs, so that focus and selection stay.
  function update(old, fresh) {
    if (old.hasAttribute?.('data-keep')) return; // computed once
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    // Sections that the reader has opened or closed stay that way.
    const isTheReaders = (name) => name === 'open';
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isTheReaders(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value && !isTheReaders(name)) old.setAttribute(name, value);
    }
    if (fresh.firstElementChild?.dataset.key !== undefined) return updateByKey(old, fresh);
    const [olds, freshes] = [[...old.childNodes], [...fresh.childNodes]];
    freshes.forEach((child, n) => (olds[n] ? update(olds[n], child) : old.append(child)));
    olds.slice(freshes.length).forEach((child) => child.remove());
  }

  // The same for children with names: each stays the same element wherever it moves.
  function updateByKey(old, fresh) {
    const keys = new Set([...fresh.children].map((child) => child.dataset.key));
    for (const child of [...old.children]) if (!keys.has(child.dataset.key)) child.remove();
    const known = new Map([...old.children].map((child) => [child.dataset.key, child]));
    let next = old.firstElementChild;
    for (const child of [...fresh.children]) {
      const same = known.get(child.dataset.key);
      if (!same) old.insertBefore(child, next);
      else if (same === next) next = next.nextElementSibling;
      else old.insertBefore(same, next);
      if (same) update(same, child);
    }
  }

  // --- what the viewer wants to see ------------------------------------------------------------------------------------

  const tools = page.querySelector('.tools');
  const [filter, order] = ['filter', 'order'].map((name) => tools?.querySelector(`[name=${name}]`));

  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
  const name = (queue) => queue.querySelector('.name a').textContent;
  const seats = (queue) => {
    const number = Number(queue.querySelector('.number')?.textContent);
    return Number.isNaN(number) ? -1 : number; // unknown, or closed
  };
  const configured = (a, b) => a.dataset.n - b.dataset.n;
  const ORDERS = {
    config: configured,
    trouble: (a, b) => a.dataset.rank - b.dataset.rank || configured(a, b),
    name: (a, b) => collator.compare(name(a), name(b)) || configured(a, b),
    seats: (a, b) => seats(a) - seats(b) || configured(a, b),
  };

  // The order and the folded accounts are remembered. A filter is not, because people would forget the hidden queues.
  function kept(key) {
    try {
      return JSON.parse(localStorage.getItem(`openseat.${key}`));
    } catch {
      return null; // storage is off, or holds something else
    }
  }

  function keep(key, value) {
    try {
      localStorage.setItem(`openseat.${key}`, JSON.stringify(value));
    } catch {
      // Without storage, it lasts as long as the page.
    }
  }

  // Orders the queues below `root`, and hides those that do not match the filter.
  function arrange(root) {
    if (!tools) return;
    const words = filter.value.trim().toLowerCase();
    let [shown, all] = [0, 0];
    for (const list of root.querySelectorAll('[data-queues]')) {
      const account = list.closest('.account');
      const isOfAccount = account.dataset.key.toLowerCase().includes(words);
      const queues = [...list.children];
      const sorted = queues.toSorted(ORDERS[order.value]);
      if (sorted.some((queue, n) => queue !== queues[n])) list.append(...sorted);
      for (const queue of queues) queue.hidden = !isOfAccount && !name(queue).toLowerCase().includes(words);
      const visible = queues.filter((queue) => !queue.hidden).length;
      account.hidden = !visible;
      shown += visible;
      all += queues.length;
    }
    setText(tools.querySelector('.shown'), words ? `${shown} of ${all} queues shown` : '');
  }

  // Accounts with a matching queue are open.
  function fold() {
    const folded = kept('folded') ?? [];
    for (const account of page.querySelectorAll('details.account')) account.open = filter?.value.trim() ? true : !folded.includes(account.dataset.key);
  }

  page.addEventListener('click', ({ target }) => {
    const account = target.closest('.account > summary')?.parentElement;
    if (!account || filter?.value.trim()) return;
    const others = (kept('folded') ?? []).filter((name) => name !== account.dataset.key);
    keep('folded', account.open ? [...others, account.dataset.key] : others); // it is open until this click has worked
  });

  if (tools) {
    tools.hidden = false;
    order.value = kept('order') in ORDERS ? kept('order') : order.dataset.first;
    filter.addEventListener('input', () => (arrange(page), fold()));
    order.addEventListener('change', () => (keep('order', order.value), arrange(page)));
    arrange(page);
  }
  fold();

  // --- addresses -------------------------------------------------------------------------------------------------------

  for (const code of page.querySelectorAll('code[data-path]')) setText(code, location.origin + code.dataset.path);
  for (const button of page.querySelectorAll('button[data-copy]')) button.hidden = false;

  page.addEventListener('click', async ({ target }) => {
    const button = target.closest('button[data-copy]');
    if (!button) return;
    const code = button.parentElement.querySelector('code');
    setText(button, (await copy(code)) ? 'Copied' : 'Press Ctrl+C');
    setTimeout(() => setText(button, 'Copy'), 2000);
  });

  // Over plain HTTP, browsers give scripts no clipboard, but copying a selection works.
  async function copy(code) {
    getSelection().selectAllChildren(code);
    if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent).then(() => true, () => document.execCommand('copy'));
    return document.execCommand('copy');
  }

  // --- test now --------------------------------------------------------------------------------------------------------

  for (const button of page.querySelectorAll('button[data-test]')) button.hidden = false;

  page.addEventListener('click', async ({ target }) => {
    const button = target.closest('button[data-test]');
    if (!button) return;
    const result = button.parentElement.querySelector('.result');
    button.disabled = true;
    setText(result, 'Asking CallTools …');
    try {
      const answer = await request(button.dataset.test, { method: 'POST' });
      setText(result, dated(outcome(await answer.json(), answer.ok)));
    } catch {
      setText(result, dated('openseat does not answer.'));
    }
    button.disabled = false;
    refresh();
  });

  // The result stays, so it says when it was true. 'en-GB' writes 24 hours, as the page does.
  const dated = (text) => `At ${new Date().toLocaleTimeString('en-GB')}: ${text}`;

  function outcome(said, ok) {
    if (!ok) return [said.title, said.detail].filter(Boolean).join(': ');
    const verdict = said.accept ? 'A call would be accepted' : 'A call would be rejected';
    const seats = said.count === null ? 'the seats are unknown' : `${said.count} free, threshold ${said.threshold ?? 'none'}`;
    return `${verdict}: ${seats} (${said.reason}).`;
  }

  // --- the stream of changes -------------------------------------------------------------------------------------------

  // A browser opens only six connections to a server, and each stream keeps one. So the visible pages of a browser tell each other every second
  // that they are there, and only the oldest have a stream. The others are fetched every few seconds.
  const STREAMS = 3; // half of the connections
  const SILENCE = 5000; // ms, after which a page counts as closed or hidden: several times what a busy page needs for a second
  const pages = new BroadcastChannel('openseat');
  const own = performance.timeOrigin + Math.random(); // no two pages have the same
  const heard = new Map(); // when each other page was heard last
  pages.onmessage = ({ data }) => heard.set(data, performance.now());

  function mayListen() {
    for (const [other, at] of heard) if (performance.now() - at > SILENCE) heard.delete(other);
    return [...heard.keys()].filter((other) => other < own).length < STREAMS;
  }

  let source = null;

  // Also in place of a stream that does not open, or has hung.
  function listen() {
    source?.close();
    if (!mayListen()) return;
    source = new EventSource(page.dataset.watch);
    source.addEventListener('snapshot', changed);
    source.addEventListener('decision', changed);
    // The next fetch says whether only the stream has failed. The browser reconnects by itself unless the server refused.
    source.onopen = source.onerror = refresh;
  }

  function setStatus(kind, text) {
    state.className = `live ${kind}`;
    setText(statusText, text);
  }

  // A hidden tab sends no requests: visible tabs need the connections.
  function visibilityChanged() {
    if (document.hidden) return source?.close();
    setStatus('', 'Updating …'); // the page may have been hidden for hours
    pages.postMessage(own);
    listen();
    refresh();
  }

  setInterval(() => {
    updateAges();
    if (document.hidden) return;
    pages.postMessage(own);
    if (!mayListen()) source?.close();
  }, 1000);
  (function again() {
    setTimeout(() => {
      again();
      if (document.hidden) return;
      if (source?.readyState !== EventSource.OPEN) listen();
      refresh();
    }, random(...PERIOD));
  })();
  document.addEventListener('visibilitychange', visibilityChanged);
  visibilityChanged();
})();

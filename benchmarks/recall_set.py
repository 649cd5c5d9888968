# ruff: noqa: E501  # a table, a topic a line
"""The set on which recall is measured: passages of a shop's handbook, each beside others that sound like it, and records
of orders; questions in the passage's own words, in others, and by a number. By hand; the records by a rule.

`python -m benchmarks.recall_set` prints it as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

__all__ = ["DOCUMENTS", "QUERIES", "Asked"]

Kind = Literal["same words", "other words", "number"]


@dataclass(frozen=True)
class Asked:
    """A question, and which document answers it."""

    text: str
    answer: int
    kind: Kind


# The passage that answers; two that sound like it; asked in its words; asked in others.
TOPICS: list[tuple[str, str, str, str, str]] = [
    ("Refunds are paid to the card that paid, within five working days.", "Refunds of gift cards are paid as store credit and never in cash.", "Invoices are paid within thirty days by bank transfer.", "when are refunds paid to my card", "how long until I get my money back"),
    ("A parcel that was not collected goes back to us after ten days.", "A parcel can be collected from a locker with the code in the mail.", "Ten parcels or more are collected from the sender by truck.", "what happens to a parcel that was not collected", "nobody picked up the package at the shop, where is it now"),
    ("Passwords are reset by the link on the sign-in page.", "Passwords must have twelve characters and one digit.", "The sign-in page is closed on Sundays for maintenance.", "how is a password reset", "I forgot my login credentials"),
    ("The kettle switches itself off when the water boils.", "The kettle holds one and a half litres of water.", "Water filters are changed every two months.", "does the kettle switch itself off", "automatic shutdown of the electric tea maker"),
    ("The warranty on appliances covers defects for two years.", "The warranty does not cover damage by dropping.", "Appliances are delivered to the kerb on weekdays.", "how long does the warranty cover defects", "it broke after eighteen months, is a repair free of charge"),
    ("Customers under eighteen need a parent's consent to buy knives.", "Knives are sharpened in our workshop on Thursdays.", "Children under six travel free with a parent.", "do customers under eighteen need consent", "may a teenager purchase a blade"),
    ("Damaged goods are photographed before they are sent back.", "Damaged pallets are counted by the warehouse every evening.", "Goods are photographed for the catalogue in the studio.", "are damaged goods photographed before sending back", "do you want pictures of the broken item when I return it"),
    ("A subscription can be cancelled up to the last day of the month.", "A subscription to the newsletter is free of charge.", "The last day of the sale is a month after it begins.", "until when can a subscription be cancelled", "how do I stop the recurring plan"),
    ("Shipping to islands takes three days longer.", "Shipping is free above fifty euros.", "The ferry to the islands leaves three times a day.", "how much longer does shipping to islands take", "delay of deliveries overseas by boat"),
    ("Employees may work from home two days a week.", "Employees get two meals a day in the canteen.", "Home deliveries are made six days a week.", "how many days may employees work from home", "remote office policy for staff"),
    ("The fire alarm is tested on the first Monday of each month.", "The alarm of the safe is switched on at night.", "On the first Monday of the month the shop opens late.", "when is the fire alarm tested", "siren drill schedule"),
    ("Visitors must wear a badge in the warehouse.", "Badges of the loyalty programme are given at ten orders.", "Visitors park behind the warehouse.", "must visitors wear a badge", "do guests need identification in the storage hall"),
    ("Complaints are answered by a person within one day.", "Complaints about noise go to the landlord.", "A person from the press is answered by the director.", "how fast are complaints answered", "response time when a client is unhappy"),
    ("Sizes of shoes run small: take one number larger.", "Shoes are cleaned with a dry cloth.", "Large numbers of shoes are stored in the cellar.", "do shoes run small", "does the footwear fit true to its measurement"),
    ("Coffee beans are roasted on Tuesdays and shipped the next day.", "Coffee machines are descaled every month.", "Bean bags are filled with polystyrene.", "when are coffee beans roasted", "how fresh is the espresso I order"),
    ("Gift wrapping costs three euros an item.", "Gifts to employees above thirty euros are reported.", "Wrapping paper is recycled with cardboard.", "what does gift wrapping cost", "price for decorating a present"),
    ("The newsletter is left by the link at its end.", "The newsletter is written by the marketing team.", "Left luggage is kept at the desk until the end of the day.", "how do I leave the newsletter", "unsubscribe from promotional mail"),
    ("Batteries are not sent by air.", "Batteries last about six hours.", "Air pumps are sold without batteries.", "are batteries sent by air", "may lithium cells travel on a plane"),
    ("Prices include value added tax.", "Prices of flights change every hour.", "Added sugar is listed in the ingredients.", "do prices include tax", "is VAT on top of the amount shown"),
    ("Suppliers are paid at the end of the following month.", "Suppliers visit the trade fair in spring.", "At the end of the month the stock is counted.", "when are suppliers paid", "payment terms for vendors"),
    ("A lost card is blocked by calling the bank at once.", "A lost umbrella is kept at the desk.", "Cards are printed by a company in Ghent.", "what to do with a lost card", "my wallet was stolen and I want to freeze my visa"),
    ("Bicycles are assembled by us; only the pedals are put on at home.", "Bicycles are rented by the hour at the station.", "Home trainers need a bicycle of the right size.", "are bicycles assembled", "do I have to build the bike myself"),
    ("The oven must not be cleaned with scouring powder.", "The oven reaches two hundred degrees in eight minutes.", "Cleaning powder is stored above the sink.", "how must the oven not be cleaned", "may I use abrasive detergent on the stove"),
    ("Two people must sign for expenses above a thousand euros.", "Expenses for travel are claimed with the receipt.", "Two people carry the sofa to the first floor.", "who must sign for expenses above a thousand", "approval limit for large spending"),
    ("Meat is kept below four degrees and sold within two days.", "Meat is cut by the butcher in the morning.", "Four degrees of frost are forecast for the weekend.", "at how many degrees is meat kept", "storage temperature of beef and pork"),
    ("Trial accounts end by themselves after fourteen days.", "Accounts of the year are audited in March.", "The trial of the new oven took fourteen days.", "do trial accounts end by themselves", "what happens when my free test period is over"),
    ("Backups are restored by the database team on request.", "Backups of cars in front of the gate are reported.", "The team restores old furniture.", "who restores backups", "recover data that was deleted by accident"),
    ("The lift carries eight persons or six hundred kilograms.", "The lift is cleaned on Fridays.", "Persons under ten kilograms sit in a child seat.", "how many persons does the lift carry", "maximum load of the elevator"),
    ("Plants are watered on Mondays by the facility staff.", "Plants in the north make the bearings.", "Water is served to the staff on hot days.", "who waters the plants", "care of the office greenery"),
    ("A delivery can be moved to another day until eight in the evening before.", "Deliveries to the canteen arrive before eight.", "The evening shift moves the pallets.", "until when can a delivery be moved to another day", "reschedule the courier"),
    ("Old mattresses are taken along when a new one is delivered.", "Mattresses are rolled for transport.", "New colleagues take along their contract on the first day.", "are old mattresses taken along", "will you dispose of my used bed"),
    ("Screens are calibrated with the meter in drawer three.", "Screens keep insects out in summer.", "Drawer three holds spare light bulbs.", "how are screens calibrated", "adjust the colours of the monitor"),
    ("Wages are transferred on the twenty-fifth.", "Wages are negotiated every two years.", "Patients are transferred by ambulance.", "when are wages transferred", "payday of the employees"),
    ("The library lends three books at a time for four weeks.", "The library of sounds has four thousand files.", "Three weeks of leave can be taken at a time.", "how many books does the library lend", "borrow novels"),
    ("Sick leave is reported before nine in the morning.", "Leave the sick bay by the back door.", "The morning report lists nine incidents.", "when is sick leave reported", "I have a fever and cannot come to work"),
    ("Tyres are changed to winter ones in October.", "Tyres are made of natural rubber.", "In October the clocks are changed.", "when are tyres changed", "prepare the car for snow"),
    ("Discounts cannot be combined.", "Combined tickets are cheaper on weekdays.", "The discount for pupils is a tenth.", "can discounts be combined", "use two vouchers on one purchase"),
    ("Allergens are printed in bold on the label.", "Bold colours are out of fashion.", "Labels are printed at the packing table.", "where are allergens printed", "does this contain nuts or gluten"),
    ("The pool is closed in thunderstorms.", "The pool of cars has nine vehicles.", "Thunderstorms delay the ferry.", "when is the pool closed", "swimming during lightning"),
    ("Contracts are kept for ten years, then shredded.", "Contracts of tenants end in June.", "Shredded cheese is kept cold.", "how long are contracts kept", "retention of signed agreements"),
    ("Dogs are allowed in the shop on a lead.", "Lead pipes are replaced by copper.", "Hot dogs are sold at the exit.", "are dogs allowed in the shop", "can I bring my puppy"),
    ("The choir rehearses on Wednesday evenings.", "The choir stalls were carved in oak.", "On Wednesday evenings the museum is free.", "when does the choir rehearse", "singing practice of the vocal group"),
    ("Spectacles are adjusted without charge.", "Charges are filed at the court.", "The spectacle begins at dusk.", "are spectacles adjusted without charge", "fit my glasses for nothing"),
    ("A broken window is boarded up within two hours.", "Windows of the software are arranged by the mouse.", "Within two hours the paint is dry.", "how fast is a broken window boarded up", "smashed pane emergency service"),
    ("Tickets are valid on trams and buses for ninety minutes.", "Tickets to the help desk are numbered.", "The film lasts ninety minutes.", "how long are tickets valid", "duration of a fare in public transport"),
    ("Mushrooms that you have picked are checked by an expert on Saturdays.", "Mushroom soup is served on Saturdays.", "Experts check the brakes.", "who checks mushrooms", "is this fungus poisonous"),
    ("The heating is lowered at night to seventeen degrees.", "Heating oil is delivered in autumn.", "Angles of seventeen degrees are steep.", "is the heating lowered at night", "radiators are cold after dark"),
    ("Witnesses get their travel costs back from the court.", "Tennis courts cost ten euros an hour.", "Travel writers visited the court of the king.", "do witnesses get travel costs", "reimbursement for people who testify"),
    ("Seeds are sown in March under glass.", "Glass is collected on Mondays.", "Seeded players begin in March.", "when are seeds sown", "start growing tomatoes early in spring"),
    ("The choice of a doctor is free.", "Free doctors of philosophy seek posts.", "The choice of wine is large.", "is the choice of a doctor free", "may I pick my own physician"),
    ("Boats are hired out with a skipper or to holders of a licence.", "Boats are painted in the dock.", "Driving licences are renewed at the town hall.", "to whom are boats hired out", "rent a yacht without a captain"),
    ("Eggs come from farms within fifty kilometres.", "Easter eggs are hidden in the garden.", "The race is fifty kilometres long.", "where do eggs come from", "is the poultry produce local"),
    ("Interpreters are booked a week ahead.", "The interpreter of the script reports errors by line.", "Hotels are booked a year ahead.", "when are interpreters booked", "translation during the meeting with foreign partners"),
    ("Stolen goods are reported to the police and to the insurer.", "The police report on traffic is monthly.", "Insurers calculate risks.", "to whom are stolen goods reported", "burglary, what now"),
    ("Children are looked after from seven to six.", "Looked-after gardens raise prices.", "The train runs from seven to six.", "when are children looked after", "opening hours of the nursery"),
    ("The server room is entered in pairs.", "Servers in the restaurant wear black.", "Rooms are entered in the register.", "how is the server room entered", "access rule for the data centre"),
    ("Unsold bread goes to the food bank in the evening.", "The bank opens in the evening on Thursdays.", "Bread is baked at four.", "where does unsold bread go", "what do you do with leftover loaves"),
    ("Parking is free for the first half hour.", "The first half ended without a goal.", "Parks are watered for an hour.", "is parking free", "leave my vehicle without paying for a bit"),
    ("Rehearsed fire drills take place twice a year without notice.", "Drills are sold in the tool department.", "Notice is given twice.", "how often do fire drills take place", "practising evacuation of the building"),
    ("Letters of application are answered within three weeks.", "Letters are weighed at the counter.", "Applications for permits cost three euros.", "when are letters of application answered", "I sent my CV for the job and heard nothing"),
]  # fmt: skip

THINGS = ("kettles", "lamps", "desks", "tents", "mugs", "chairs", "radios", "rugs", "clocks", "boots")
COLOURS = ("blue", "red", "green", "white", "black", "grey")
TOWNS = ("Lisbon", "Oslo", "Vienna", "Krakow", "Dublin", "Turin", "Ghent")
ORDERS = 120


def _order(n: int) -> str:
    thing, colour, town = THINGS[n % 10], COLOURS[n % 6], TOWNS[n % 7]
    return f"Order A-{1000 + n * 7}: {n % 5 + 1} {colour} {thing} to {town}, paid on day {n % 28 + 1}."


DOCUMENTS: list[str] = [text for topic in TOPICS for text in topic[:3]] + [_order(n) for n in range(ORDERS)]
"""By their place in this list."""

QUERIES: list[Asked] = [
    *(Asked(topic[3], i * 3, "same words") for i, topic in enumerate(TOPICS)),
    *(Asked(topic[4], i * 3, "other words") for i, topic in enumerate(TOPICS)),
    *(
        Asked(f"what is in order A-{1000 + n * 7}", len(TOPICS) * 3 + n, "number")
        for n in range(0, ORDERS, ORDERS // 40)
    ),
]

if __name__ == "__main__":
    told = {"documents": DOCUMENTS, "queries": [vars(query) for query in QUERIES]}
    print(json.dumps(told, indent=1, ensure_ascii=False))
